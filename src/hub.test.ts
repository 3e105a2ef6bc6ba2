import { expect, test } from "vitest"
import type { Inbox } from "./core/inbox.ts"
import { type Hub, type HubOptions, startHub } from "./hub.ts"
import { Loops } from "./loops.ts"
import { createMemoryLog } from "./testing/memory-log.ts"
import { createEvent, createTrigger, ordersAddress } from "./testing/samples.ts"
import { createSimulatedMachine } from "./testing/simulated-machine.ts"

/** A hub on a simulated machine; `inbox`: what its engine has of one. */
async function start({ inbox, ...options }: Partial<HubOptions> & { readonly inbox?: Inbox } = {}) {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const log = createMemoryLog()
  const hub = await machine.run(
    startHub({
      ...{
        engine: inbox === undefined ? engine : { ...engine, inbox },
        clock: power.clock,
        chance: machine.chance,
        log,
      },
      ...{ kinds: new Map(), version: "0.0.0-test", topics: { autoCreate: true, dedupeWindowMs: 60_000 } },
      authorize: () => ({ tenant: "default", key: "admin", rights: ["operate"] }),
      ...options,
    }),
  )
  return { hub, engine, machine, log, close: () => machine.run(hub.stop().then(() => engine.close())) }
}

const namesOf = ({ loops }: Hub) => loops.map(({ name }) => name)
const ready = async (hub: Hub) => (await hub.api.inject({ url: "/readyz" })).json()

test("what is published to a hub is routed, by loops that stop with it", async () => {
  const { hub, engine, machine, close } = await start()
  expect(namesOf(hub)).toEqual([
    "the view of topics",
    "router",
    "replays",
    "retention",
    "delivery",
    "schedules",
    "telling",
  ])
  await machine.run(engine.catalog.put("trigger/default/all", createTrigger("all", engine.log.oldest())))
  const [published] = [await machine.run(hub.publisher.publish(ordersAddress, [createEvent("1")]))].flat()
  expect(published).toMatchObject({ duplicate: false })
  await machine.until(async () => (await engine.queue.depth("default/there")) === 1)
  const done = Promise.all(hub.loops.map((loop) => loop.done))
  await close()
  await done
})

test("a hub does what its roles are, and one that is held nothing", async () => {
  const router = await start({ roles: ["route"] })
  expect(namesOf(router.hub)).toEqual(["the view of topics", "router", "replays", "retention", "telling"])
  expect([router.hub.ingest, router.hub.worker]).toEqual([undefined, undefined])
  await router.close()
  const held = await start({ held: true })
  expect(namesOf(held.hub)).toEqual(["the view of topics", "telling"])
  await held.close()
})

test("a loop that ends though nobody stopped it makes the hub unready, and the log says which and why", async () => {
  const failing = Promise.withResolvers<never>()
  const inbox: Inbox = {
    // biome-ignore lint/correctness/useYield: it fails before there is anything
    async *receive() {
      await failing.promise
    },
  }
  const { hub, log, close } = await start({ inbox })
  expect(await ready(hub)).toMatchObject({ ready: true, reasons: [] })
  failing.reject(new Error("a bug"))
  await hub.loops.find(({ name }) => name === "inbox")?.done.catch(() => {})
  expect(await ready(hub)).toMatchObject({ ready: false, reasons: ["inbox has stopped: Error: a bug"] })
  expect(log.lines).toEqual(["error: inbox has stopped; restart the hub: Error: a bug"])
  await close()
})

test("loops are stopped whatever becomes of one", async () => {
  const loops = new Loops(createMemoryLog())
  const stopped: string[] = []
  for (const name of ["first", "second", "third"]) {
    loops.add(name, {
      done: Promise.resolve(),
      async stop() {
        stopped.push(name)
        if (name === "second") throw new Error("it does not stop")
      },
    })
  }
  await expect(loops.stop()).rejects.toThrow("it does not stop")
  expect(stopped).toEqual(["third", "second", "first"])
})

test("loops are stopped one after another, the last one first", async () => {
  const loops = new Loops(createMemoryLog())
  const said: string[] = []
  for (const name of ["first", "second", "third"]) {
    loops.add(name, {
      done: Promise.resolve(),
      async stop() {
        said.push(`${name} stops`)
        await Promise.resolve()
        said.push(`${name} is over`)
      },
    })
  }
  await loops.stop()
  expect(said).toEqual(["third", "second", "first"].flatMap((name) => [`${name} stops`, `${name} is over`]))
  expect([loops.running, loops.failures]).toEqual([[], []])
})
