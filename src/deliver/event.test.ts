import { describe, expect, it } from "vitest"
import { deadLettersTopic } from "../core/address.ts"
import { routedAsKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { type Delivery, deliveryId } from "../core/delivery.ts"
import { fingerprintOf } from "../core/fingerprint.ts"
import type { RoutedAs } from "../core/routing.ts"
import { Delivering, ok } from "../testing/delivering.ts"
import { createEvent, ordersAddress } from "../testing/samples.ts"

/** A hub with so many events on its log, all read from its disk, and a trigger `a`. */
async function start(events: number) {
  const hub = await Delivering.start()
  await hub.connect("a", () => ok)
  const made = Array.from({ length: events }, (_, i) => createEvent(`e${i}`))
  const cursors: Cursor[] = []
  for (const event of made) {
    const [appended] = await hub.machine.run(hub.engine.log.append(ordersAddress, [event]))
    cursors.push(appended!.cursor)
  }
  const prints = made.map((event) => fingerprintOf({ address: ordersAddress, event }))
  await hub.machine.run(hub.worker.stop())
  await hub.machine.run(hub.engine.close())
  hub.power.cut()
  await hub.boot()
  return { hub, cursors, prints }
}

function delivery(cursor: Cursor, rest: Partial<Delivery> = {}): Delivery {
  const names = { tenant: "default", trigger: "a", incarnation: "", destination: "a" }
  return { ...names, id: deliveryId(cursor, "a", ""), cursor, fingerprint: 0, ...rest }
}

async function owe(hub: Delivering, ...deliveries: readonly Delivery[]): Promise<void> {
  await hub.machine.run(hub.engine.queue.enqueue(deliveries))
  await hub.empty("a")
}

const damaged = (detail: unknown) => ({ reason: "damaged", attempts: 0, lastOutcome: { detail, permanent: true } })

describe("the event of a delivery", () => {
  it("is sent as it was stored", async () => {
    const { hub, cursors, prints } = await start(2)
    await owe(hub, ...cursors.map((cursor, i) => delivery(cursor, { fingerprint: prints[i]! })))
    expect(hub.sentTo("a")).toBe(2)
    expect(await hub.letters()).toEqual([])
  })

  it("is never sent when its bytes do not check: a dead letter names the place, and dies again when it is redriven", async () => {
    const { hub, cursors, prints } = await start(3)
    const [segment] = hub.machine.disk.files().filter(({ name }) => name.endsWith(".segment"))
    const at = Number.parseInt(cursors[1]!, 36)
    hub.machine.disk.flipBit(segment!.name, at + 60, 2)
    await owe(hub, ...cursors.map((cursor, i) => delivery(cursor, { fingerprint: prints[i]! })))
    expect(hub.sent.map(({ id }) => id)).toEqual([`${cursors[0]}.a`, `${cursors[2]}.a`])
    const [letter] = await hub.letters()
    expect(letter).toMatchObject({
      ...damaged(expect.stringMatching(`^the event cannot be read: damaged: ${segment!.name} at byte \\d+$`)),
      id: `${cursors[1]}.a`,
      address: ordersAddress,
    })
    expect(await hub.records(deadLettersTopic)).toMatchObject([{ data: letter! }])
    expect(await hub.machine.run(hub.engine.queue.redrive("default", letter!.id))).toBe(true)
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(2)
    expect(await hub.letters()).toMatchObject([{ id: letter!.id, reason: "damaged" }])
    expect(hub.log.lines).toEqual(["error: a delivery's event is damaged"])
    await hub.machine.run(hub.worker.stop())
    expect(hub.log.lines.slice(1)).toEqual(["error: more deliveries of damaged events since: 1"])
  })

  it("is not another one that is at its place", async () => {
    const { hub, cursors, prints } = await start(2)
    await owe(hub, delivery(cursors[0]!, { fingerprint: prints[1]! }))
    expect(hub.sent).toEqual([])
    const detail = `the event cannot be sent: the log has another one at ${cursors[0]}, and nothing of that was sent`
    expect(await hub.letters()).toMatchObject([damaged(detail)])
  })

  it("is not another tenant's, also where nothing more is known of it", async () => {
    const { hub } = await start(0)
    const address = { tenant: "other", topic: "orders" }
    const [appended] = await hub.machine.run(hub.engine.log.append(address, [createEvent("secret")]))
    await owe(hub, delivery(appended!.cursor))
    expect(hub.sent).toEqual([])
    expect(await hub.letters()).toMatchObject([{ reason: "damaged" }])
    expect(JSON.stringify(await hub.letters())).not.toContain("secret")
  })

  it("is damaged where nothing is at its place and retention has dropped nothing, also beyond the log's end", async () => {
    const { hub, cursors } = await start(2)
    const at = (position: number) => position.toString(36).padStart(11, "0") as Cursor
    const between = at(Number.parseInt(cursors[0]!, 36) + 8)
    const beyond = at(Number.parseInt(cursors[1]!, 36) + 100_000)
    await owe(hub, delivery(between), delivery(beyond), delivery("no-cursor" as Cursor))
    expect(hub.sent).toEqual([])
    expect((await hub.letters()).map(({ reason, lastOutcome }) => [reason, lastOutcome.detail])).toEqual([
      ["damaged", expect.stringMatching(/^the event cannot be read: damaged: .*segment at byte \d+$/)],
      ["damaged", expect.stringContaining(`the log at ${beyond}, where an event of default/orders was`)],
      ["damaged", expect.stringContaining("no cursor of this hub")],
    ])
  })

  it("was dropped by the retention of the topic that it was on, whatever its trigger listens to now", async () => {
    const { hub, cursors } = await start(2)
    await hub.machine.run(hub.engine.log.trim(ordersAddress, { eventsMax: 1 }))
    const after = hub.engine.log.oldest()
    const version = { topic: "orders", filters: [], destination: "a", updatedAt: 0 }
    const changed = { ...version, after: cursors[1]!, topic: "others" }
    const kept: RoutedAs = { of: "x", versions: [{ ...version, after }, changed] }
    await hub.machine.run(hub.engine.catalog.put(routedAsKeys.of({ tenant: "default", id: "a" }), kept))
    await hub.trigger("a", { topic: "others" })
    await owe(hub, delivery(cursors[0]!))
    expect(await hub.letters()).toMatchObject([
      { reason: "permanent", lastOutcome: { detail: expect.stringContaining("retention has dropped it") } },
    ])
  })

  it("was dropped before it could be moved here where its place is before all others", async () => {
    const { hub } = await start(1)
    const oldest = hub.engine.log.oldest()
    await owe(hub, delivery(oldest, { id: `${oldest}.a.00000000abc` }))
    expect(await hub.letters()).toMatchObject([{ reason: "permanent" }])
  })
})
