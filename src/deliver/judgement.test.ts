import { describe, expect, it } from "vitest"
import { attemptsTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId, type Failed, type Outcome } from "../core/delivery.ts"
import type { Trigger } from "../core/resources.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"

const gone: Failed = { kind: "failed", detail: "410 Gone", permanent: true, gone: true }
const patient = { delaysMs: [1_000], jitter: 0, attemptsMax: 20, ageMaxMs: 86_400_000 }

/** A delivery of the trigger `a`. */
function deliveryOf(cursor: Cursor, destination = "a", incarnation = "") {
  const id = deliveryId(cursor, "a", incarnation)
  return { id, tenant: "default", trigger: "a", incarnation, destination, cursor, fingerprint: 0 }
}

async function pauseOf(hub: Delivering, trigger = "a"): Promise<string | undefined> {
  return (await hub.engine.catalog.get<Trigger>(`trigger/default/${trigger}`))!.value.paused?.reason
}

/** A hub whose trigger `a` has an attempt under way, and how that ends. */
async function underWay(trigger: Partial<Trigger> = {}) {
  const hub = await Delivering.start()
  const answer = Promise.withResolvers<Outcome>()
  await hub.connect("a", () => answer.promise, { retry: patient, ...trigger })
  await hub.connect("b", () => ok)
  const [cursor] = await hub.owe(1)
  const delivery = deliveryOf(cursor!, "a", trigger.incarnation)
  await hub.machine.run(hub.engine.queue.enqueue([delivery]))
  await hub.machine.until(() => hub.sentTo("a") === 1)
  const end = async (outcome: Outcome) => {
    answer.resolve(outcome)
    hub.behaviours.set("a", () => ok)
    await hub.machine.until(() => hub.worker.lanes().every(({ inFlight }) => inFlight === 0))
  }
  return { hub, delivery, end }
}

describe("a trigger that sends elsewhere", () => {
  it("is not paused by the one it sent to before: what is still owed there becomes a dead letter", async () => {
    const hub = await Delivering.start()
    await hub.connect("b", () => ok)
    await hub.connect("a", () => gone, { destination: "b", retry: patient })
    const cursors = await hub.owe(3, "a")
    await hub.machine.run(hub.engine.queue.enqueue(cursors.map((cursor) => deliveryOf(cursor, "b"))))
    await hub.empty("a")
    await hub.empty("b")
    expect(await pauseOf(hub)).toBeUndefined()
    expect(hub.sentTo("b")).toBe(3)
    expect((await hub.letters()).map(({ reason, destination }) => `${destination} ${reason}`)).toEqual(
      cursors.map(() => "a gone"),
    )
  })

  it("is not paused either where it moved while the attempt was under way, and stays as it is after each resume", async () => {
    const { hub, end } = await underWay()
    await hub.trigger("a", { destination: "b", retry: patient })
    await end(gone)
    expect(await pauseOf(hub)).toBeUndefined()
    expect(await hub.letters()).toMatchObject([{ destination: "a", reason: "gone" }])
  })

  it("is paused by the one that it sends to, with what is for that, and what is owed elsewhere waits with it", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => gone, { retry: patient })
    await hub.owe(3, "a")
    await hub.machine.until(async () => (await pauseOf(hub)) !== undefined)
    expect(await pauseOf(hub)).toBe("a is gone: 410 Gone")
    expect(await hub.letters()).toEqual([])
    expect(await hub.depth("a")).toBe(3)
  })

  it("takes its backlog along where it is to: due, held, and what comes due, however the old one fares", async () => {
    const hub = await Delivering.start()
    await hub.connect("b", () => ok)
    await hub.connect("a", () => ({ ...failed, retryAfterMs: 40_000 }), { retry: patient })
    await hub.owe(40, "a")
    await hub.machine.until(() => hub.sentTo("a") >= 10)
    await hub.trigger("a", { destination: "b", backlog: "move", retry: patient })
    await hub.machine.run(hub.engine.queue.move({ tenant: "default", trigger: "a", incarnation: "" }, "b"))
    const tried = hub.sentTo("a")
    await hub.empty("b")
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(tried)
    expect(hub.sentTo("b")).toBe(40)
    expect(await hub.letters()).toEqual([])
  })

  it("moves what was enqueued for the old one late, or was under way there, when its turn comes", async () => {
    const { hub, end } = await underWay()
    await hub.trigger("a", { destination: "b", backlog: "move", retry: patient })
    const late = await hub.owe(40, "a")
    await end(failed)
    await hub.empty("a")
    await hub.empty("b")
    expect(hub.sentTo("a")).toBe(1)
    expect(hub.sentTo("b")).toBe(late.length + 1)
  })

  it("takes along what a destination that is gone has answered meanwhile", async () => {
    const { hub, end } = await underWay()
    await hub.trigger("a", { destination: "b", backlog: "move", retry: patient })
    await end(gone)
    await hub.machine.until(() => hub.sentTo("b") > 0)
    await hub.empty("b")
    expect([hub.sentTo("b"), await pauseOf(hub), await hub.letters()]).toEqual([1, undefined, []])
  })

  it("moves nothing while it is paused, and all of it when it is resumed", async () => {
    const hub = await Delivering.start()
    await hub.connect("b", () => ok)
    await hub.connect("a", () => gone, { retry: patient })
    await hub.owe(5, "a")
    await hub.machine.until(async () => (await pauseOf(hub)) !== undefined)
    await hub.machine.clock.advance(1_000)
    await hub.trigger("a", { destination: "b", backlog: "move", retry: patient })
    await hub.empty("a")
    await hub.empty("b")
    expect(hub.sentTo("b")).toBe(5)
  })
})

describe("an attempt that ends after", () => {
  it("its trigger was deleted and made again: it tells nothing, and pauses nothing", async () => {
    const { hub, delivery, end } = await underWay({ incarnation: "i1" })
    await hub.trigger("a", { incarnation: "i2", retry: patient })
    await hub.machine.run(hub.engine.queue.drop("default", "a", "i1"))
    await hub.machine.run(hub.engine.queue.enqueue([deliveryOf(delivery.cursor, "a", "i2")]))
    await hub.machine.until(() => hub.sentTo("a") === 2)
    await end(gone)
    expect(await hub.letters()).toEqual([])
    expect((await hub.records(attemptsTopic)).map(({ data }) => data.incarnation)).not.toContain("i1")
  })

  it("its trigger was made again before what it owed was dropped: it tells nothing, and is done", async () => {
    const { hub, delivery, end } = await underWay({ incarnation: "i1" })
    await hub.trigger("a", { incarnation: "i2", retry: patient })
    await end(gone)
    expect(await pauseOf(hub)).toBeUndefined()
    expect(await hub.records(attemptsTopic)).toEqual([])
    expect(await hub.engine.queue.open(delivery)).toBeUndefined()
    expect(await hub.letters()).toEqual([])
  })

  it("its lease was lost: it is told as what it is, and nothing follows from it", async () => {
    const lost: string[] = []
    const { hub, delivery, end } = await underWay()
    hub.observe.leaseLost = (lane) => lost.push(lane)
    await hub.machine.run(hub.engine.queue.drop("default", "a", ""))
    await end({ ...gone, gone: false })
    expect(lost).toEqual(["default/a"])
    expect((await hub.records(attemptsTopic)).map(({ data }) => data.verdict)).toEqual([{ kind: "lost" }])
    expect(await hub.engine.queue.open(delivery)).toBeUndefined()
    expect(await hub.letters()).toEqual([])
  })

  it("its trigger's policy was changed: the one that holds now decides", async () => {
    const { hub, end } = await underWay()
    await hub.trigger("a", { retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 60_000 } })
    await end(failed)
    expect(await hub.letters()).toMatchObject([{ reason: "exhausted", attempts: 1 }])
  })

  it("its destination was changed: it says nothing of the one that is there now", async () => {
    const states: string[] = []
    const { hub, end } = await underWay()
    hub.observe.breaker = (lane, state) => states.push(`${lane} ${state}`)
    await hub.destination("a", { config: { to: "c" } })
    await hub.machine.clock.advance(10)
    await end(gone)
    await hub.empty("a")
    expect(await pauseOf(hub)).toBeUndefined()
    expect([hub.sentTo("a"), hub.sentTo("c"), states]).toEqual([1, 1, []])
    const [told] = await hub.records(attemptsTopic)
    expect(told!.data.outcome).toEqual({
      ...{ kind: "failed", permanent: false },
      detail: "410 Gone (the destination was changed meanwhile)",
    })
  })

  it("its destination was deleted and made again: the new one gets it, whatever rest the old one asked for", async () => {
    const { hub, end } = await underWay()
    await hub.machine.run(hub.engine.catalog.delete("destination/default/a"))
    await hub.machine.clock.advance(10)
    await hub.destination("a", { config: { to: "c" } })
    await end({ ...gone, permanent: false, gone: false, retryAfterMs: 3_600_000 })
    await hub.machine.clock.advance(5_000)
    expect([hub.sentTo("c"), await hub.depth("a")]).toEqual([1, 0])
  })

  it("another tenant's trigger of its name, and destination, were changed: that is nothing to it", async () => {
    const { hub, end } = await underWay()
    const theirs = (await hub.engine.catalog.get<Trigger>("trigger/default/a"))!.value
    const moved = { ...theirs, tenant: "acme", destination: "b", backlog: "move" as const }
    await hub.machine.run(hub.engine.catalog.put("trigger/acme/a", moved))
    await end(gone)
    expect(await pauseOf(hub)).toBe("a is gone: 410 Gone")
    expect((await hub.engine.catalog.get<Trigger>("trigger/acme/a"))!.value.paused).toBeUndefined()
  })
})

describe("a destination that is not there", () => {
  it("is gone: its trigger is paused, and goes on when it is made", async () => {
    const hub = await Delivering.start()
    await hub.trigger("a")
    await hub.owe(3, "a")
    await hub.machine.until(async () => (await pauseOf(hub)) !== undefined)
    expect(await pauseOf(hub)).toBe("a is gone: there is no destination a")
    expect(await hub.letters()).toEqual([])
    await hub.destination("a")
    await hub.trigger("a")
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(3)
  })

  it("is the end of what a trigger that sends elsewhere owes it", async () => {
    const hub = await Delivering.start()
    await hub.connect("b", () => ok)
    await hub.trigger("a", { destination: "b" })
    await hub.owe(2, "a")
    await hub.empty("a")
    expect(await pauseOf(hub)).toBeUndefined()
    expect(await hub.letters()).toMatchObject([{ reason: "gone" }, { reason: "gone" }])
  })
})

describe("a rest that is longer than what is left of the age", () => {
  it("puts the last attempt off until it is over", async () => {
    const hub = await Delivering.start()
    const retry = { delaysMs: [1_000], jitter: 0, attemptsMax: 20, ageMaxMs: 60_000 }
    await hub.connect("a", ({ attempt }) => (attempt === 1 ? { ...failed, retryAfterMs: 90_000 } : ok), { retry })
    await hub.owe(1, "a")
    await hub.machine.clock.advance(89_000)
    expect([hub.sentTo("a"), await hub.depth("a")]).toEqual([1, 1])
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(2)
    expect(await hub.letters()).toEqual([])
  })
})
