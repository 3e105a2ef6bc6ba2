import { describe, expect, it } from "vitest"
import { attemptsTopic, deadLettersTopic } from "../core/address.ts"
import type { Outcome } from "../core/delivery.ts"
import { type Behave, Delivering, failed, never, ok } from "../testing/delivering.ts"
import { createEvent, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"

const once = { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 60_000 }

describe("delivery", () => {
  it("sends what is due, tells of the attempt, and is done", async () => {
    const hub = await Delivering.start({}, {}, createSimulatedMachine(1, 5))
    await hub.connect("a", () => ({ kind: "delivered", detail: "204" }))
    const [cursor] = await hub.owe(1, "a")
    await hub.empty("a")
    const head = await hub.engine.log.head()
    expect(hub.sent).toMatchObject([{ to: "a", id: `${cursor}.a`, attempt: 1 }])
    const [attempt, ...others] = await hub.records(attemptsTopic)
    expect(others).toEqual([])
    expect(attempt!.stored.address).toEqual({ tenant: "default", topic: attemptsTopic, key: cursor })
    // It was told before the delivery was done.
    expect(hub.engine.log.compare(attempt!.stored.cursor, head)).toBeLessThan(0)
    const { event } = attempt!.stored
    expect([event.type, event.source, event.attribute("subject")]).toEqual([
      "redcar.attempt",
      "/redcar/triggers/a",
      `${cursor}.a`,
    ])
    expect(attempt!.data).toEqual({
      ...{ delivery: `${cursor}.a`, trigger: "a", destination: "a", topic: "orders", cursor },
      ...{ event: { id: "e0", source: "/shop", type: "order.created" } },
      ...{ number: 1, startedAt: expect.any(Number), durationMs: expect.any(Number) },
      ...{ outcome: { kind: "delivered", detail: "204" }, verdict: { kind: "done" } },
    })
    expect(hub.log.lines).toEqual([])
  })

  it("goes on where a destination is given less at once than is being sent to it", async () => {
    const hub = await Delivering.start()
    const answer = Promise.withResolvers<Outcome>()
    await hub.connect("a", () => answer.promise, {}, { concurrency: 8 })
    await hub.owe(8, "a")
    await hub.machine.until(() => hub.sentTo("a") === 8)
    await hub.destination("a", { concurrency: 1 })
    await hub.owe(8, "a")
    await hub.machine.clock.advance(1_000)
    hub.behaviours.set("a", () => ok)
    answer.resolve(ok)
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(16)
    expect(hub.worker.lanes().every(({ inFlight }) => inFlight === 0)).toBe(true)
  })

  it("tries again by the trigger's policy, then gives up with a dead letter that can be redriven", async () => {
    const hub = await Delivering.start()
    const retry = { delaysMs: [1_000, 5_000], jitter: 0, attemptsMax: 3, ageMaxMs: 60_000 }
    await hub.connect("a", () => failed, { retry })
    const [cursor] = await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    const gaps = hub.sent.slice(1).map(({ at }, n) => at - hub.sent[n]!.at)
    expect(gaps[0]).toBeGreaterThanOrEqual(1_000)
    expect(gaps[0]).toBeLessThan(1_050)
    expect(gaps[1]).toBeGreaterThanOrEqual(5_000)
    const [letter] = await hub.letters()
    expect(letter).toMatchObject({ id: `${cursor}.a`, reason: "exhausted", attempts: 3, lastOutcome: failed })
    const [told] = await hub.records(deadLettersTopic)
    expect(told!.data).toEqual({ ...letter, event: { id: "e0", source: "/shop", type: "order.created" } })
    expect((await hub.records(attemptsTopic)).map(({ data }) => data.verdict)).toEqual([
      { kind: "retry", delayMs: 1_000 },
      { kind: "retry", delayMs: 5_000 },
      { kind: "dead", reason: "exhausted" },
    ])

    hub.behaviours.set("a", () => ok)
    expect(await hub.machine.run(hub.engine.queue.redrive("default", `${cursor}.a`))).toBe(true)
    await hub.empty("a")
    expect(hub.sent.at(-1)).toMatchObject({ attempt: 4 })
    expect(await hub.letters()).toEqual([])
  })

  it("gives up at once where no later attempt can succeed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ({ ...failed, permanent: true }))
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(await hub.letters()).toMatchObject([{ reason: "permanent", attempts: 1 }])
  })

  it("counts a sender that throws as a failed attempt, and blames nobody else for it", async () => {
    const states: string[] = []
    const hub = await Delivering.start({}, { breaker: (_, state) => states.push(state) })
    await hub.connect("a", ({ attempt }) => {
      if (attempt === 1) throw new Error("a bug")
      return ok
    })
    await hub.owe(20, "a")
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(40)
    const outcomes = (await hub.records(attemptsTopic)).map(({ data }) => data.outcome as Outcome)
    expect(outcomes.filter(({ detail }) => detail === "the sender failed: a bug")).toHaveLength(20)
    expect(states).toEqual([])
  })

  it("keeps to the destination's concurrency, and uses all of it", async () => {
    const hub = await Delivering.start()
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(100, () => resolve(ok)))
    await hub.connect("a", slow, {}, { concurrency: 7 })
    await hub.owe(70, "a")
    const start = hub.machine.clock.now()
    await hub.empty("a")
    expect(hub.flying.get("a")!.max).toBe(7)
    expect(hub.machine.clock.now() - start).toBeLessThan(1_100)
  })

  it("keeps to the destination's rate", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { ratePerSecond: 20 })
    await hub.owe(100, "a")
    const start = hub.machine.clock.now()
    await hub.empty("a")
    expect(hub.machine.clock.now() - start).toBeGreaterThanOrEqual(4_800)
    expect(hub.machine.clock.now() - start).toBeLessThan(5_500)
  })

  it("keeps the lease of an attempt that takes longer than a lease", async () => {
    const hub = await Delivering.start({ leaseMs: 3_000 })
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(20_000, () => resolve(ok)))
    await hub.connect("a", slow, {}, { concurrency: 1 })
    await hub.owe(2, "a")
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1])
  })

  it("ends an attempt that goes beyond every limit, also when its sender never comes back", async () => {
    const hub = await Delivering.start({ attemptMsMax: 10_000 })
    await hub.connect("a", () => new Promise<Outcome>(() => {}), { retry: { ...once } })
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(await hub.letters()).toMatchObject([{ lastOutcome: { detail: "no end of the attempt within 10000 ms" } }])
  })

  it("says of an event that is gone that it is gone", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok)
    const cursors = await hub.machine.run(hub.engine.log.append(ordersAddress, [createEvent("1"), createEvent("2")]))
    await hub.machine.run(hub.engine.log.trim(ordersAddress, { eventsMax: 0 }))
    await hub.oweAt([cursors[0]!.cursor], "a")
    await hub.empty("a")
    expect(hub.sent).toEqual([])
    expect(await hub.letters()).toMatchObject([
      { reason: "permanent", attempts: 0, lastOutcome: { detail: expect.stringContaining("no longer stored") } },
    ])
    expect(await hub.records(deadLettersTopic)).toHaveLength(1)
  })

  it("goes on where an attempt cannot be told", async () => {
    let lost = 0
    const hub = await Delivering.start({}, { recordLost: () => lost++ })
    // Once what it owes is written: the next write is the attempt's.
    const answer = (resolve: (outcome: Outcome) => void) => {
      if (lost === 0) hub.machine.disk.failWrites(1)
      resolve(ok)
    }
    await hub.connect("a", () => new Promise<Outcome>((resolve) => hub.machine.clock.after(50, () => answer(resolve))))
    await hub.owe(1, "a")
    await hub.empty("a")
    expect([hub.sentTo("a"), lost]).toEqual([1, 1])
    expect(await hub.records(attemptsTopic)).toEqual([])
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(await hub.records(attemptsTopic)).toHaveLength(1)
  })

  it("does not tell of what concerns the reserved topics", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", ({ delivery }) => ({ ...failed, permanent: delivery.trigger === "a" }), { retry: once })
    const address = { tenant: "default", topic: attemptsTopic, key: "1" }
    const [appended] = await hub.machine.run(hub.engine.log.append(address, [createEvent("1")]))
    await hub.oweAt([appended!.cursor], "a")
    await hub.empty("a")
    expect(await hub.letters()).toHaveLength(1)
    expect(await hub.records(attemptsTopic)).toHaveLength(1)
    expect(await hub.records(deadLettersTopic)).toHaveLength(0)
  })
})

describe("stopping", () => {
  it("waits for what is being sent, and gives back what is not, uncounted", async () => {
    const hub = await Delivering.start()
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(500, () => resolve(ok)))
    await hub.connect("a", slow, {}, { concurrency: 2 })
    await hub.owe(10, "a")
    await hub.machine.until(() => hub.sentTo("a") === 2)
    await hub.machine.run(hub.worker.stop())
    expect(hub.sentTo("a")).toBe(2)
    expect(await hub.depth("a")).toBe(8)
    expect(hub.closed).toEqual(["a"])
    const leases = await hub.engine.queue.lease({ lane: "default/a", max: 100, leaseMs: 1_000 })
    expect(leases.map(({ attempt }) => attempt)).toEqual(new Array(8).fill(1))
  })

  it("aborts what does not end, and gives it back uncounted", async () => {
    const hub = await Delivering.start({ stopMs: 1_000 })
    await hub.connect("polite", (_, signal) => never(signal))
    await hub.connect("stubborn", () => new Promise<Outcome>(() => {}))
    await hub.owe(1, "polite", "stubborn")
    await hub.machine.until(() => hub.sent.length === 2)
    const start = hub.machine.clock.now()
    await hub.machine.run(hub.worker.stop())
    expect(hub.machine.clock.now() - start).toBeLessThan(5_000)
    expect(await hub.records(attemptsTopic)).toEqual([])
    for (const lane of ["default/polite", "default/stubborn"]) {
      expect(await hub.engine.queue.lease({ lane, max: 1, leaseMs: 1_000 })).toMatchObject([{ attempt: 1 }])
    }
  })

  it("delivers again, and only that, what a crash left without its end", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { concurrency: 3 })
    await hub.owe(50, "a")
    await hub.machine.until(() => hub.sentTo("a") >= 20)
    hub.power.cut()
    await hub.boot()
    await hub.empty("a")
    expect(new Set(hub.sent.map(({ id }) => id)).size).toBe(50)
    expect(await hub.letters()).toEqual([])
  })
})
