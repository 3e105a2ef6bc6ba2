import { describe, expect, it } from "vitest"
import { attemptsTopic } from "../core/address.ts"
import type { Outcome } from "../core/delivery.ts"
import type { Batch, BatchLimits, BatchSent } from "../core/destination.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"
import type { DeliveryLimits } from "./hub.ts"

const patient = { delaysMs: [1_000], jitter: 0, attemptsMax: 20, ageMaxMs: 86_400_000 }
const once = { ...patient, attemptsMax: 1 }
const answered = (status: number): Outcome => {
  const response = { status, headers: {}, body: "", bodyEncoding: "utf8", bodyTruncated: false } as const
  return { kind: "failed", detail: `${status}`, permanent: false, response }
}

async function start(
  batch: Partial<BatchLimits> = {},
  behave: (batch: Batch) => BatchSent | Promise<BatchSent> = () => ({ answer: ok }),
  trigger: Partial<Trigger> = {},
  { destination = {}, limits = {} }: { destination?: Partial<Destination>; limits?: Partial<DeliveryLimits> } = {},
): Promise<Delivering> {
  const hub = await Delivering.start(limits)
  const config = { to: "a", batch: { eventsMax: 10, bytesMax: 1 << 20, waitMs: 200, ...batch } }
  await hub.connect("a", () => ok, trigger, { config, ...destination })
  hub.batchBehaviours.set("a", behave)
  return hub
}

const sizes = (hub: Delivering) => hub.batches.map(({ batch }) => batch.dispatches.length)

describe("a destination that takes batches", () => {
  it("gets what is due together, and waits for a full batch no longer than it is to", async () => {
    const hub = await start()
    await hub.owe(25, "a")
    await hub.machine.clock.advance(100)
    expect(sizes(hub)).toEqual([10, 10])
    await hub.machine.clock.advance(200)
    expect(sizes(hub)).toEqual([10, 10, 5])
    expect(new Set(hub.sent.map(({ id }) => id)).size).toBe(25)
    expect(await hub.depth("a")).toBe(0)
  })

  it("gets a batch at once that has become full", async () => {
    const hub = await start({ waitMs: 10_000 })
    await hub.owe(9, "a")
    await hub.machine.clock.advance(1_000)
    expect(sizes(hub)).toEqual([])
    await hub.owe(1, "a")
    await hub.machine.clock.advance(50)
    expect(sizes(hub)).toEqual([10])
  })

  it("gets no more bytes at once than it wants, and what is larger alone", async () => {
    const hub = await start({ bytesMax: 500 })
    await hub.owe(7, "a")
    await hub.empty("a")
    expect(Math.max(...sizes(hub))).toBeLessThan(4)
    const tiny = await start({ bytesMax: 10 })
    await tiny.owe(3, "a")
    await tiny.empty("a")
    expect(sizes(tiny)).toEqual([1, 1, 1])
  })

  it("tells of each attempt which batch it was in", async () => {
    const hub = await start()
    await hub.owe(2, "a")
    await hub.empty("a")
    await hub.owe(1, "a")
    await hub.empty("a")
    const told = (await hub.records(attemptsTopic)).map(({ data }) => data.batch)
    const { id } = hub.batches[0]!.batch
    expect(id).toMatch(/^batch_[0-9a-f]{24}$/)
    expect(told).toEqual([{ id, events: 2 }, { id, events: 2 }, undefined])
    expect(hub.batches[1]!.batch.id).toBe(hub.sent[2]!.id)
  })

  it("keeps within its concurrency in requests, and its rate in deliveries", async () => {
    let [now, most] = [0, 0]
    const hub = await start({ waitMs: 0 }, async () => {
      most = Math.max(most, ++now)
      await new Promise<void>((resolve) => hub.power.clock.after(50, resolve))
      now--
      return { answer: ok }
    })
    await hub.destination("a", {
      config: { to: "a", batch: { eventsMax: 10, bytesMax: 1 << 20, waitMs: 0 } },
      concurrency: 2,
    })
    await hub.owe(100, "a")
    await hub.empty("a")
    expect(most).toBe(2)
    const slow = await start({}, undefined, {}, { destination: { ratePerSecond: 10 } })
    await slow.owe(40, "a")
    await slow.machine.clock.advance(2_500)
    expect(sizes(slow)).toEqual([10, 10, 10])
  })

  it("waits for no batch while what is in flight runs short", async () => {
    const hub = await start({ waitMs: 10_000 }, undefined, {}, { limits: { inFlightMax: 4 } })
    await hub.owe(8, "a")
    await hub.machine.clock.advance(100)
    expect(sizes(hub).length).toBeGreaterThan(1)
  })

  it("keeps its leases while it waits", async () => {
    const hub = await start({ waitMs: 10_000 }, undefined, {}, { limits: { leaseMs: 1_000 } })
    await hub.owe(3, "a")
    await hub.machine.clock.advance(11_000)
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1, 1])
  })

  it("loses nothing that waits where it is changed to take batches, or no more", async () => {
    const hub = await start({ waitMs: 10_000 })
    await hub.owe(3, "a")
    await hub.machine.clock.advance(100)
    await hub.destination("a", { ratePerSecond: 1 })
    await hub.owe(3, "a")
    await hub.machine.clock.advance(2_500)
    expect(hub.batches).toEqual([])
    expect(hub.sentTo("a")).toBe(3)
    await hub.destination("a", { config: { to: "a", batch: { eventsMax: 10, bytesMax: 1 << 20, waitMs: 200 } } })
    await hub.empty("a")
    expect(hub.batches.length).toBeGreaterThan(0)
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual(Array(6).fill(1))
  })
})

describe("a batch that fails", () => {
  /** Fails whatever has the fifth event in it. */
  const poison = (status: number, batch: Batch): BatchSent =>
    batch.dispatches.some(({ stored }) => stored.event.id === "e4") ? { answer: answered(status) } : { answer: ok }

  it.each([400, 413, 422])(
    "is sent again one by one at once where it is refused with %d, whatever the policy",
    async (status) => {
      const hub = await start({}, (batch) => poison(status, batch), { retry: once })
      const bad = (await hub.owe(10, "a"))[4]!
      await hub.machine.clock.advance(500)
      expect(sizes(hub)).toEqual([10, ...Array(10).fill(1)])
      expect((await hub.letters()).map(({ cursor, reason }) => `${cursor} ${reason}`)).toEqual([`${bad} exhausted`])
      expect(await hub.depth("a")).toBe(0)
    },
  )

  it("is held against each once, and never again together with others, where its receiver failed", async () => {
    const retry = { ...patient, attemptsMax: 3 }
    const hub = await start({}, (batch) => poison(500, batch), { retry })
    const bad = (await hub.owe(10, "a"))[4]!
    await hub.empty("a")
    expect(sizes(hub)).toEqual([10, ...Array(11).fill(1)])
    expect((await hub.letters()).map(({ cursor }) => cursor)).toEqual([bad])
  })

  it("pauses nobody and kills nothing by a rule before it is known which event it was", async () => {
    const retry = { ...patient, rules: [{ on: ["500"], do: "pause" as const }] }
    const hub = await start({}, (batch) => poison(500, batch), { retry })
    await hub.connect("b", () => ok)
    const bad = (await hub.owe(5, "a"))[4]!
    await hub.machine.clock.advance(2_000)
    expect(await hub.depth("a")).toBe(1)
    const { deliveries } = await hub.machine.run(hub.engine.queue.openDeliveries({ tenant: "default", limit: 9 }))
    expect(deliveries.map(({ delivery, state }) => `${delivery.cursor} ${state}`)).toEqual([`${bad} held`])
  })

  it("counts once for the breaker", async () => {
    const states: string[] = []
    const hub = await start({}, () => ({ answer: failed }), { retry: patient }, { destination: { concurrency: 1 } })
    hub.observe.breaker = (_, state) => states.push(state)
    await hub.owe(30, "a")
    await hub.machine.clock.advance(300)
    expect(sizes(hub)).toEqual([10, 10, 10])
    expect(states).toEqual([])
  })

  it("is of each what its answer says of each", async () => {
    const hub = await start(
      {},
      ({ dispatches }) => ({
        answer: ok,
        each: dispatches.map(({ attempt }, i) => (i === 1 && attempt === 1 ? answered(503) : ok)),
      }),
      { retry: patient },
    )
    const cursors = await hub.owe(3, "a")
    await hub.empty("a")
    expect(hub.batches.map(({ batch }) => batch.dispatches.map(({ delivery }) => delivery.cursor))).toEqual([
      cursors,
      [cursors[1]],
    ])
  })

  it("is given back uncounted where the hub stops", async () => {
    const hub = await start({ waitMs: 10_000 })
    await hub.owe(3, "a")
    await hub.machine.clock.advance(100)
    await hub.machine.run(hub.worker.stop())
    expect(hub.batches).toEqual([])
    await hub.machine.run(hub.engine.close())
    hub.power.cut()
    await hub.boot()
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1, 1])
  })
})
