import { describe, expect, it } from "vitest"
import { attemptsTopic, deadLettersTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { DeadLetter, Outcome } from "../core/delivery.ts"
import { deliveryId } from "../core/delivery.ts"
import type { DestinationKind, Dispatch } from "../core/destination.ts"
import type { Engine, StoredEvent } from "../core/engine.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import type { Power } from "../testing/power.ts"
import {
  createDestination,
  createEvent,
  createMemoryLog,
  createRig,
  createTrigger,
  ordersAddress,
  type Rig,
} from "../testing/rig.ts"
import type { DeliveryLimits, DeliveryObserver } from "./hub.ts"
import { type DeliveryWorker, startDelivery } from "./worker.ts"

type Behave = (dispatch: Dispatch, signal: AbortSignal) => Outcome | Promise<Outcome>

const ok: Outcome = { kind: "delivered", detail: "204" }
const failed: Outcome = { kind: "failed", detail: "500", permanent: false }
const never = (signal: AbortSignal) =>
  new Promise<Outcome>((resolve) => {
    signal.addEventListener("abort", () => resolve({ kind: "failed", detail: "aborted", permanent: false }))
  })

/** A hub that only delivers, to destinations that live in the test. */
class Delivering {
  readonly rig: Rig = createRig()
  readonly log = createMemoryLog()
  readonly behaviours = new Map<string, Behave>()
  readonly sent: { readonly to: string; readonly id: string; readonly attempt: number; readonly at: number }[] = []
  readonly opened: string[] = []
  readonly closed: string[] = []
  observe: DeliveryObserver = {}
  engine!: Engine
  power!: Power
  worker!: DeliveryWorker
  /** In flight now, and the most there were, by destination. */
  readonly flying = new Map<string, { now: number; max: number }>()
  #events = 0

  static async start(limits: Partial<DeliveryLimits> = {}, observe: DeliveryObserver = {}): Promise<Delivering> {
    const hub = new Delivering()
    hub.observe = observe
    await hub.boot(limits)
    return hub
  }

  async boot(limits: Partial<DeliveryLimits> = {}): Promise<void> {
    const { engine, power } = await this.rig.boot()
    this.engine = engine
    this.power = power
    this.worker = startDelivery({
      ...{ engine, clock: power.clock, chance: this.rig.chance, log: this.log, observe: this.observe, limits },
      kinds: new Map([["test", this.#kind()]]),
      publish: async () => {},
    })
    this.worker.done.catch((error) => this.log.lines.push(`bug: ${error}`))
  }

  #kind(): DestinationKind {
    return {
      kind: "test",
      description: "",
      config: {},
      check: () => [],
      signing: () => undefined,
      open: async (config) => {
        const { to, broken } = config as { to: string; broken?: boolean }
        if (broken) throw new Error("no such place")
        this.opened.push(to)
        return {
          send: (dispatch, signal) => this.#send(to, dispatch, signal),
          close: async () => void this.closed.push(to),
        }
      },
    }
  }

  async #send(to: string, dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    const flying = this.flying.get(to) ?? { now: 0, max: 0 }
    this.flying.set(to, flying)
    flying.max = Math.max(flying.max, ++flying.now)
    this.sent.push({ to, id: dispatch.delivery.id, attempt: dispatch.attempt, at: dispatch.at })
    try {
      return await (this.behaviours.get(to) ?? (() => ok))(dispatch, signal)
    } finally {
      flying.now--
    }
  }

  /** A trigger `<name>` to a destination `<name>`. */
  async connect(name: string, behave: Behave, trigger: Partial<Trigger> = {}, destination: Partial<Destination> = {}) {
    this.behaviours.set(name, behave)
    await this.destination(name, destination)
    await this.trigger(name, trigger)
  }

  async destination(name: string, rest: Partial<Destination> = {}): Promise<void> {
    const value = createDestination(name, { config: { to: name }, ...rest })
    await this.rig.run(this.engine.catalog.put(`destination/default/${name}`, value))
  }

  async trigger(name: string, rest: Partial<Trigger> = {}): Promise<void> {
    const value = createTrigger(name, this.engine.log.oldest(), { destination: name, ...rest })
    await this.rig.run(this.engine.catalog.put(`trigger/default/${name}`, value))
  }

  /** Publishes events and owes each to these triggers. */
  async owe(count: number, ...names: string[]): Promise<Cursor[]> {
    const events = Array.from({ length: count }, () => createEvent(`e${this.#events++}`))
    const cursors = (await this.rig.run(this.engine.log.append(ordersAddress, events))).map(({ cursor }) => cursor)
    await this.oweAt(cursors, ...names)
    return cursors
  }

  async oweAt(cursors: readonly Cursor[], ...names: string[]): Promise<void> {
    const deliveries = cursors.flatMap((cursor) =>
      names.map((name) => {
        const id = deliveryId(cursor, name)
        return { id, tenant: "default", trigger: name, destination: name, cursor }
      }),
    )
    await this.rig.run(this.engine.queue.enqueue(deliveries))
  }

  sentTo(name: string): number {
    return this.sent.filter(({ to }) => to === name).length
  }

  depth(name: string): Promise<number> {
    return this.engine.queue.depth(`default/${name}`)
  }

  /** Moves time on until nothing is owed to it any more. */
  empty(name: string): Promise<void> {
    return this.rig.until(async () => (await this.depth(name)) === 0)
  }

  async records(topic: string): Promise<{ readonly stored: StoredEvent; readonly data: Record<string, unknown> }[]> {
    const records: { stored: StoredEvent; data: Record<string, unknown> }[] = []
    const read = async () => {
      for await (const { events } of this.engine.log.read({ where: { tenant: "default", topic } })) {
        for (const stored of events) {
          records.push({ stored, data: JSON.parse(new TextDecoder().decode(stored.event.data)) })
        }
      }
    }
    await this.rig.run(read())
    return records
  }

  letters(): Promise<readonly DeadLetter[]> {
    return this.engine.queue.deadLetters({ tenant: "default", limit: 1_000 })
  }
}

describe("delivery", () => {
  it("sends what is due, tells of the attempt, and is done", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ({ kind: "delivered", detail: "204", reply: [createEvent("reply")] }))
    const [cursor] = await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.sent).toMatchObject([{ to: "a", id: `${cursor}.a`, attempt: 1 }])
    const [attempt, ...others] = await hub.records(attemptsTopic)
    expect(others).toEqual([])
    expect(attempt!.stored.address).toEqual({ tenant: "default", topic: attemptsTopic, key: cursor })
    const { event } = attempt!.stored
    expect([event.type, event.source, event.attribute("subject")]).toEqual([
      "redcar.attempt",
      "/redcar/triggers/a",
      `${cursor}.a`,
    ])
    expect(attempt!.data).toEqual({
      ...{ delivery: `${cursor}.a`, trigger: "a", destination: "a", topic: "orders", cursor },
      ...{ event: { id: "e0", source: "/rig", type: "order.created" } },
      ...{ number: 1, startedAt: expect.any(Number), durationMs: expect.any(Number) },
      ...{ outcome: { kind: "delivered", detail: "204" }, verdict: { kind: "done" } },
    })
    expect(hub.log.lines).toEqual([])
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
    expect(told!.data).toEqual({ ...letter, event: { id: "e0", source: "/rig", type: "order.created" } })
    expect((await hub.records(attemptsTopic)).map(({ data }) => data.verdict)).toEqual([
      { kind: "retry", delayMs: 1_000 },
      { kind: "retry", delayMs: 5_000 },
      { kind: "dead", reason: "exhausted" },
    ])

    hub.behaviours.set("a", () => ok)
    expect(await hub.rig.run(hub.engine.queue.redrive("default", `${cursor}.a`))).toBe(true)
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

  it("counts a sender that throws as a failed attempt, and goes on", async () => {
    const hub = await Delivering.start()
    let calls = 0
    await hub.connect("a", () => {
      if (++calls === 1) throw new Error("a bug")
      return ok
    })
    await hub.owe(3, "a")
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(4)
    const outcomes = (await hub.records(attemptsTopic)).map(({ data }) => data.outcome as Outcome)
    expect(outcomes.filter(({ detail }) => detail === "the sender failed: a bug")).toHaveLength(1)
  })

  it("keeps to the destination's concurrency, and uses all of it", async () => {
    const hub = await Delivering.start()
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(100, () => resolve(ok)))
    await hub.connect("a", slow, {}, { concurrency: 7 })
    await hub.owe(70, "a")
    const start = hub.rig.clock.now()
    await hub.empty("a")
    expect(hub.flying.get("a")!.max).toBe(7)
    expect(hub.rig.clock.now() - start).toBeLessThan(1_100)
  })

  it("keeps to the destination's rate", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { ratePerSecond: 20 })
    await hub.owe(100, "a")
    const start = hub.rig.clock.now()
    await hub.empty("a")
    expect(hub.rig.clock.now() - start).toBeGreaterThanOrEqual(4_800)
    expect(hub.rig.clock.now() - start).toBeLessThan(5_500)
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
    const cursors = await hub.rig.run(hub.engine.log.append(ordersAddress, [createEvent("1"), createEvent("2")]))
    await hub.rig.run(hub.engine.log.trim(ordersAddress, { eventsMax: 0 }))
    await hub.oweAt([cursors[0]!.cursor], "a")
    await hub.empty("a")
    expect(hub.sent).toEqual([])
    expect(await hub.letters()).toMatchObject([
      { reason: "permanent", attempts: 0, lastOutcome: { detail: expect.stringContaining("no longer stored") } },
    ])
    expect(await hub.records(deadLettersTopic)).toHaveLength(1)
  })

  it("does not tell of what concerns the reserved topics", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", ({ delivery }) => ({ ...failed, permanent: delivery.trigger === "a" }), { retry: once })
    const address = { tenant: "default", topic: attemptsTopic, key: "1" }
    const [appended] = await hub.rig.run(hub.engine.log.append(address, [createEvent("1")]))
    await hub.oweAt([appended!.cursor], "a")
    await hub.empty("a")
    expect(await hub.letters()).toHaveLength(1)
    expect(await hub.records(attemptsTopic)).toHaveLength(1)
    expect(await hub.records(deadLettersTopic)).toHaveLength(0)
  })
})

const once = { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 60_000 }

describe("triggers and destinations that change", () => {
  it("holds the deliveries of a paused trigger, and lets them go when it is resumed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, { paused: { since: 0, reason: "a test" } })
    const cursors = await hub.owe(3, "a")
    await hub.rig.clock.advance(1_000)
    expect(hub.sent).toEqual([])
    const [cursor] = cursors
    const delivery = { id: `${cursor}.a`, tenant: "default", trigger: "a", destination: "a", cursor: cursor! }
    expect(await hub.engine.queue.open(delivery)).toMatchObject({ state: "held" })
    await hub.trigger("a")
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1, 1])
  })

  it("lets go what was held when the hub starts after the trigger was resumed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, { paused: { since: 0, reason: "a test" } })
    await hub.owe(1, "a")
    await hub.rig.clock.advance(1_000)
    await hub.rig.run(hub.worker.stop())
    await hub.trigger("a")
    await hub.rig.run(hub.engine.close())
    hub.power.cut()
    await hub.boot()
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(1)
  })

  it("pauses the trigger of a destination that is gone, and loses nothing", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ({ ...failed, detail: "410 Gone", gone: true }), {}, { concurrency: 2 })
    await hub.owe(10, "a")
    await hub.rig.clock.advance(5_000)
    const item = await hub.engine.catalog.get<Trigger>("trigger/default/a")
    expect(item!.value.paused).toMatchObject({ reason: "a is gone: 410 Gone" })
    expect(hub.sentTo("a")).toBeLessThanOrEqual(4)
    expect(await hub.letters()).toEqual([])
    const attempts = await hub.records(attemptsTopic)
    expect(attempts).toHaveLength(hub.sentTo("a"))
    expect(attempts[0]!.data).toMatchObject({ outcome: { gone: true }, verdict: { kind: "held" } })
    hub.behaviours.set("a", () => ok)
    await hub.trigger("a")
    await hub.empty("a")
    expect(new Set(hub.sent.map(({ id }) => id)).size).toBe(10)
  })

  it("is done with the deliveries of a trigger that is no more", async () => {
    const hub = await Delivering.start()
    await hub.destination("a")
    await hub.owe(2, "a")
    await hub.empty("a")
    expect(hub.sent).toEqual([])
    expect(await hub.letters()).toEqual([])
  })

  it("gives up deliveries whose destination is not there", async () => {
    const hub = await Delivering.start()
    await hub.trigger("a")
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(await hub.letters()).toMatchObject([
      { reason: "permanent", lastOutcome: { detail: "there is no destination a" } },
    ])
  })

  it("opens a changed destination anew, and closes the old one when nobody uses it", async () => {
    const hub = await Delivering.start()
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    await hub.connect("a", () => gate.then(() => ok))
    await hub.owe(1, "a")
    await hub.rig.until(() => hub.sentTo("a") === 1)
    await hub.destination("a", { concurrency: 5 })
    await hub.destination("a", { config: { to: "b" } })
    await hub.owe(1, "a")
    await hub.rig.until(() => hub.sentTo("b") === 1)
    expect(hub.opened).toEqual(["a", "b"])
    expect(hub.closed).toEqual([])
    release()
    await hub.empty("a")
    expect(hub.closed).toEqual(["a"])
    expect(hub.sentTo("a")).toBe(1)
  })

  it("holds back what is for a destination that cannot be opened, and goes on when it is put right", async () => {
    const hub = await Delivering.start()
    const retry = { delaysMs: [100], jitter: 0, attemptsMax: 1_000, ageMaxMs: 10_000_000 }
    await hub.connect("a", () => ok, { retry }, { config: { to: "a", broken: true } })
    await hub.owe(50, "a")
    await hub.rig.clock.advance(60_000)
    expect(await hub.depth("a")).toBe(50)
    const attempts = (await hub.records(attemptsTopic)).length
    expect(attempts).toBeLessThan(100)
    await hub.destination("a")
    await hub.rig.clock.advance(1_000)
    expect(await hub.depth("a")).toBe(0)
  })

  it("closes the sender of a lane that has had nothing to do for long", async () => {
    const hub = await Delivering.start({ idleMs: 10_000 })
    await hub.connect("a", () => ok)
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.worker.figures()).toEqual({ inFlight: 0, lanes: 1 })
    await hub.rig.clock.advance(25_000)
    expect(hub.closed).toEqual(["a"])
    expect(hub.worker.figures()).toEqual({ inFlight: 0, lanes: 0 })
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.opened).toEqual(["a", "a"])
  })
})

describe("a destination in trouble", () => {
  const patient = { delaysMs: [1_000], jitter: 0, attemptsMax: 20, ageMaxMs: 86_400_000 }

  it("is left alone while it is down, without using up attempts, and probed until it is back", async () => {
    const states: string[] = []
    const hub = await Delivering.start({}, { breaker: (lane, state) => states.push(`${lane} ${state}`) })
    await hub.connect("a", () => failed, { retry: patient }, { concurrency: 4 })
    await hub.owe(200, "a")
    await hub.rig.clock.advance(300_000)
    // Ten failures, those in flight then, and a probe a minute at the end: not 200 deliveries 20 times.
    expect(hub.sentTo("a")).toBeLessThan(30)
    expect(states.slice(0, 3)).toEqual(["default/a open", "default/a half-open", "default/a open"])
    hub.behaviours.set("a", () => ok)
    await hub.empty("a")
    expect(await hub.letters()).toEqual([])
    expect(states.at(-1)).toBe("default/a closed")
  })

  it("rests for as long as it asks, with all its deliveries", async () => {
    const hub = await Delivering.start()
    let asked = false
    const behave: Behave = () => {
      if (asked) return ok
      asked = true
      return { ...failed, detail: "429", retryAfterMs: 30_000 }
    }
    await hub.connect("a", behave, { retry: patient }, { concurrency: 1 })
    await hub.owe(20, "a")
    await hub.rig.clock.advance(29_000)
    expect(hub.sentTo("a")).toBe(1)
    expect(await hub.depth("a")).toBe(20)
    await hub.rig.clock.advance(3_000)
    expect(await hub.depth("a")).toBe(0)
    expect(hub.sent.filter(({ attempt }) => attempt === 2)).toHaveLength(1)
  })

  it("does not slow another, whether it hangs, fails or floods", async () => {
    const alone = await slowestOf(await Delivering.start({ inFlightMax: 256 }), [])
    const hub = await Delivering.start({ inFlightMax: 256 })
    await hub.connect("hangs", (_, signal) => never(signal), { retry: patient }, { concurrency: 1_024 })
    await hub.connect("fails", () => failed, { retry: patient }, { concurrency: 1_024 })
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(50, () => resolve(ok)))
    await hub.connect("floods", slow, { retry: patient }, { concurrency: 1_024 })
    const beside = await slowestOf(hub, ["hangs", "fails", "floods"])
    expect(hub.sentTo("hangs")).toBeGreaterThan(50)
    expect(hub.sentTo("floods")).toBeGreaterThan(50)
    expect(beside).toBeLessThanOrEqual(alone + 10)
  })

  /** How long the slowest delivery to a sound destination takes from being owed to being sent, in ms. */
  async function slowestOf(hub: Delivering, others: readonly string[]): Promise<number> {
    const owed = new Map<string, number>()
    await hub.connect("sound", () => ok)
    if (others.length > 0) await hub.owe(2_000, ...others)
    await hub.rig.clock.advance(200)
    for (let n = 0; n < 20; n++) {
      const at = hub.rig.clock.now()
      for (const cursor of await hub.owe(5, "sound")) owed.set(`${cursor}.sound`, at)
      await hub.rig.clock.advance(10)
    }
    await hub.empty("sound")
    const sound = hub.sent.filter(({ to }) => to === "sound")
    expect(sound).toHaveLength(100)
    return Math.max(...sound.map(({ id, at }) => at - owed.get(id)!))
  }
})

describe("stopping", () => {
  it("waits for what is being sent, and gives back what is not, uncounted", async () => {
    const hub = await Delivering.start()
    const slow: Behave = () => new Promise((resolve) => hub.power.clock.after(500, () => resolve(ok)))
    await hub.connect("a", slow, {}, { concurrency: 2 })
    await hub.owe(10, "a")
    await hub.rig.until(() => hub.sentTo("a") === 2)
    await hub.rig.run(hub.worker.stop())
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
    await hub.rig.until(() => hub.sent.length === 2)
    const start = hub.rig.clock.now()
    await hub.rig.run(hub.worker.stop())
    expect(hub.rig.clock.now() - start).toBeLessThan(5_000)
    expect(await hub.records(attemptsTopic)).toEqual([])
    for (const lane of ["default/polite", "default/stubborn"]) {
      expect(await hub.engine.queue.lease({ lane, max: 1, leaseMs: 1_000 })).toMatchObject([{ attempt: 1 }])
    }
  })

  it("delivers again, and only that, what a crash left without its end", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, {}, { concurrency: 3 })
    await hub.owe(50, "a")
    await hub.rig.until(() => hub.sentTo("a") >= 20)
    hub.power.cut()
    await hub.boot()
    await hub.empty("a")
    expect(new Set(hub.sent.map(({ id }) => id)).size).toBe(50)
    expect(await hub.letters()).toEqual([])
  })
})
