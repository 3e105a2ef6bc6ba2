import { rmSync } from "node:fs"
import { afterEach, expect, test } from "vitest"
import type { Address } from "../core/address.ts"
import { asideKey, handshakeKeys, identityKey, natsAccountKeys, topicKeys } from "../core/catalog-keys.ts"
import { delayedTopic, waitingAddress } from "../core/delayed.ts"
import type { Engine } from "../core/engine.ts"
import { newTopic } from "../core/resources.ts"
import { type AsideRecord, asideReaderOf, mainReaderOf } from "../core/routing.ts"
import { createEvent } from "../testing/samples.ts"
import { bornAt, move, openSmallEngine, temporary } from "./hub-to-migrate.fixture.ts"

const directories: string[] = []
const engines: Engine[] = []
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close()
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
})

function directory(): string {
  const made = temporary()
  directories.push(made)
  return made
}

async function open(): Promise<Engine> {
  const engine = await openSmallEngine(directory())
  engines.push(engine)
  return engine
}

test("a delayed event of a tenant that was routed aside is still to be released", async () => {
  const source = await open()
  const { log, catalog, queue } = source
  const made = newTopic("acme", "orders", bornAt, 0)
  await catalog.put(topicKeys.of(made), made)
  const orders = { tenant: "acme", topic: "orders" }
  const append = async (address: Address, id: string) => {
    const event = createEvent(id, id === "later" ? { deliverat: "2100-01-01T00:00:00Z" } : {})
    return (await log.append(address, [event], { storedAt: bornAt }))[0]!.cursor
  }
  const first = await append(orders, "first")
  await append(waitingAddress(made, orders, createEvent("later")), "later")
  const last = await append(orders, "last")
  await queue.enqueue([], { reader: mainReaderOf(0), cursor: last })
  await queue.enqueue([], { reader: asideReaderOf(0, 1), cursor: first })
  await catalog.put(asideKey(0), { tenants: [null, "acme"], epoch: 0 } satisfies AsideRecord)
  const target = await open()
  await move(source, target, directory())
  const from = (await target.queue.position(mainReaderOf(0)))!
  const toRoute: string[] = []
  for await (const { events } of target.log.read({ partition: 0, from })) {
    toRoute.push(...events.map(({ address, event }) => `${address.topic} ${event.id}`))
  }
  expect(toRoute).toEqual([`${delayedTopic} later`, "orders last"])
})

test("what the hub itself keeps of receivers and accounts is nothing unknown", async () => {
  const source = await open()
  for (const key of [handshakeKeys.at("acme/shop"), identityKey, natsAccountKeys.at("acme")])
    await source.catalog.put(key, { some: 1 })
  const target = await open()
  expect((await move(source, target, directory())).notes).toEqual([])
  expect((await target.catalog.get(identityKey))?.value).toEqual({ some: 1 })
})
