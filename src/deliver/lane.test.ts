import { describe, expect, it, vi } from "vitest"
import { attemptsTopic } from "../core/address.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import { type Behave, Delivering, failed, never, ok } from "../testing/delivering.ts"
import { deliveryLimits } from "./hub.ts"

describe("triggers and destinations that change", () => {
  it("holds the deliveries of a paused trigger, and lets them go when it is resumed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, { paused: { since: 0, reason: "a test" } })
    const cursors = await hub.owe(3, "a")
    await hub.machine.clock.advance(1_000)
    expect(hub.sent).toEqual([])
    const [cursor] = cursors
    const delivery = {
      id: `${cursor}.a`,
      tenant: "default",
      trigger: "a",
      incarnation: "",
      destination: "a",
      cursor: cursor!,
      fingerprint: 0,
    }
    expect(await hub.engine.queue.open(delivery)).toMatchObject({ state: "held" })
    await hub.trigger("a")
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1, 1])
  })

  it("is done with what was owed to a trigger that another of its id has taken the place of", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, { incarnation: "i2" })
    const [cursor] = await hub.owe(1)
    const name = { tenant: "default", trigger: "a", destination: "a", cursor: cursor!, fingerprint: 0 }
    const of = (incarnation: string) => ({ ...name, incarnation, id: deliveryId(cursor!, "a", incarnation) })
    await hub.machine.run(hub.engine.queue.enqueue([of("i1"), of("i2")]))
    await hub.empty("a")
    expect(hub.sent.map(({ id }) => id)).toEqual([of("i2").id])
    expect(await hub.letters()).toEqual([])
  })

  it("lets go what was held when the hub starts after the trigger was resumed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok, { paused: { since: 0, reason: "a test" } })
    await hub.owe(1, "a")
    await hub.machine.clock.advance(1_000)
    await hub.machine.run(hub.worker.stop())
    await hub.trigger("a")
    await hub.machine.run(hub.engine.close())
    hub.power.cut()
    await hub.boot()
    await hub.empty("a")
    expect(hub.sentTo("a")).toBe(1)
  })

  it("asks for the resuming of what is held at the start, and then of what was resumed, and of nothing else", async () => {
    const hub = await Delivering.start()
    for (let n = 0; n < 20; n++) await hub.trigger(`t${n}`)
    await hub.connect("a", () => ok, { paused: { since: 0, reason: "a test" } })
    await hub.connect("b", () => ok, { paused: { since: 0, reason: "a test" } })
    await hub.owe(1, "a")
    await hub.owe(1, "b")
    await hub.machine.clock.advance(1_000)
    await hub.machine.run(hub.worker.stop())
    await hub.trigger("a")
    const resume = vi.spyOn(Object.getPrototypeOf(hub.engine.queue) as typeof hub.engine.queue, "resume")
    try {
      await hub.machine.run(hub.engine.close())
      hub.power.cut()
      await hub.boot()
      await hub.empty("a")
      expect(resume.mock.calls).toEqual([["default", "a", ""]])
      await hub.trigger("t3", { description: "changed" })
      await hub.trigger("new")
      await hub.machine.clock.advance(1_000)
      expect(resume.mock.calls).toHaveLength(1)
      await hub.trigger("b")
      await hub.empty("b")
      expect(resume.mock.calls.slice(1)).toEqual([["default", "b", ""]])
    } finally {
      resume.mockRestore()
    }
  })

  it("pauses the trigger of a destination that is gone, and loses nothing", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ({ ...failed, detail: "410 Gone", gone: true }), {}, { concurrency: 2 })
    await hub.owe(10, "a")
    await hub.machine.clock.advance(5_000)
    const item = await hub.engine.catalog.get<Trigger>("trigger/default/a")
    expect(item!.value.paused).toMatchObject({ reason: "a is gone: 410 Gone" })
    expect(hub.sentTo("a")).toBe(2)
    expect(await hub.letters()).toEqual([])
    const attempts = await hub.records(attemptsTopic)
    expect(attempts).toHaveLength(hub.sentTo("a"))
    expect(attempts[0]!.data).toMatchObject({ outcome: { gone: true }, verdict: { kind: "held" } })
    const { deliveries } = await hub.machine.run(hub.engine.queue.openDeliveries({ tenant: "default", limit: 100 }))
    // What was answered 410 was tried.
    expect(deliveries.map(({ attempts, state }) => `${attempts} ${state}`).filter((each) => each !== "0 due")).toEqual([
      "1 held",
      "1 held",
      ...Array(8).fill("0 held"),
    ])
    hub.behaviours.set("a", () => ok)
    await hub.trigger("a")
    await hub.empty("a")
    expect(hub.sent.map(({ attempt }) => attempt).sort()).toEqual([...Array(10).fill(1), 2, 2])
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

  it("opens a changed destination anew, and closes the old one when nobody uses it", async () => {
    const hub = await Delivering.start()
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    await hub.connect("a", () => gate.then(() => ok))
    await hub.owe(1, "a")
    await hub.machine.until(() => hub.sentTo("a") === 1)
    await hub.destination("a", { concurrency: 5 })
    await hub.destination("a", { config: { to: "b" } })
    await hub.owe(1, "a")
    await hub.machine.until(() => hub.sentTo("b") === 1)
    expect(hub.opened).toEqual(["a", "b"])
    expect(hub.closed).toEqual([])
    release()
    await hub.empty("a")
    expect(hub.closed).toEqual(["a"])
    expect(hub.sentTo("a")).toBe(1)
  })

  it("keeps the sender where only the limits of a destination have changed", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => ok)
    await hub.owe(1, "a")
    await hub.empty("a")
    await hub.destination("a", { concurrency: 5, ratePerSecond: 10 })
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.opened).toEqual(["a"])
  })

  it("holds back what is for a destination that cannot be opened, and goes on when it is put right", async () => {
    const hub = await Delivering.start()
    const retry = { delaysMs: [100], jitter: 0, attemptsMax: 1_000, ageMaxMs: 10_000_000 }
    await hub.connect("a", () => ok, { retry }, { config: { to: "a", broken: true } })
    await hub.owe(50, "a")
    await hub.machine.clock.advance(60_000)
    expect(await hub.depth("a")).toBe(50)
    const attempts = (await hub.records(attemptsTopic)).length
    expect(attempts).toBeLessThan(100)
    await hub.destination("a")
    await hub.machine.clock.advance(1_000)
    expect(await hub.depth("a")).toBe(0)
  })

  it("delivers what is replayed where what was new waited for the rate and has gone since", async () => {
    const hub = await Delivering.start()
    const { queue } = hub.engine
    let failures = 1
    const rests = { kind: "failed", detail: "500", permanent: false, retryAfterMs: 5_000 } as const
    const slowly = () => new Promise<typeof rests>((resolve) => hub.machine.clock.after(500, () => resolve(rests)))
    await hub.connect("a", () => (failures-- > 0 ? slowly() : ok), {}, { ratePerSecond: 1 })
    const [cursor] = await hub.owe(4, "a")
    await hub.machine.clock.advance(2_000)
    await hub.machine.run(queue.drop("default", "a", ""))
    const of = { tenant: "default", trigger: "a", incarnation: "", destination: "a", fingerprint: 0 }
    const replayed = { ...of, id: `${cursor}.a.rp`, cursor: cursor!, replay: "rp" }
    await hub.machine.run(queue.enqueue([replayed]))
    await hub.machine.clock.advance(30_000)
    expect(await queue.depth("default/a~replay")).toBe(0)
  })

  it("closes the sender of a lane that has had nothing to do for long", async () => {
    const hub = await Delivering.start({ idleMs: 10_000 })
    await hub.connect("a", () => ok)
    await hub.owe(1, "a")
    await hub.empty("a")
    expect(hub.worker.lanes()).toMatchObject([{ inFlight: 0, breaker: "closed" }])
    await hub.machine.clock.advance(25_000)
    expect(hub.closed).toEqual(["a"])
    expect(hub.worker.lanes()).toEqual([])
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
    await hub.machine.clock.advance(300_000)
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
    await hub.machine.clock.advance(29_000)
    expect(hub.sentTo("a")).toBe(1)
    expect(await hub.depth("a")).toBe(20)
    await hub.machine.clock.advance(3_000)
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

  it("takes no more than its share of what is in flight, and grows when others let go", async () => {
    const hub = await Delivering.start({ inFlightMax: 32 })
    let flooding = true
    const wait: Behave = () =>
      new Promise((resolve) => {
        const look = () => (flooding ? hub.power.clock.after(10, look) : resolve(ok))
        look()
      })
    await hub.connect("floods", wait, {}, { concurrency: 1_024 })
    await hub.connect("hangs", (_, signal) => never(signal), {}, { concurrency: 1_024 })
    await hub.owe(100, "floods")
    await hub.machine.clock.advance(100)
    const share = hub.sentTo("floods")
    expect(share).toBe(26)
    await hub.owe(100, "hangs")
    await hub.machine.clock.advance(100)
    expect(hub.sentTo("hangs")).toBe(9)
    flooding = false
    await hub.empty("floods")
    await hub.machine.clock.advance(100)
    expect(hub.sentTo("hangs")).toBe(share)
  })

  /** How long the slowest delivery to a sound destination takes from being owed to being sent, in ms. */
  async function slowestOf(hub: Delivering, others: readonly string[]): Promise<number> {
    const owed = new Map<string, number>()
    await hub.connect("sound", () => ok)
    if (others.length > 0) await hub.owe(2_000, ...others)
    await hub.machine.clock.advance(200)
    for (let n = 0; n < 20; n++) {
      const at = hub.machine.clock.now()
      for (const cursor of await hub.owe(5, "sound")) owed.set(`${cursor}.sound`, at)
      await hub.machine.clock.advance(10)
    }
    await hub.empty("sound")
    const sound = hub.sent.filter(({ to }) => to === "sound")
    expect(sound).toHaveLength(100)
    return Math.max(...sound.map(({ id, at }) => at - owed.get(id)!))
  }
})

describe("a clock that is set while deliveries wait", () => {
  const hour = 3_600_000
  const year = 365 * 24 * hour
  const soon = { delaysMs: [3_000], jitter: 0, attemptsMax: 100, ageMaxMs: 10 * year }
  interface Wait {
    readonly behave: () => Behave
    readonly owed: number
    readonly withinMs: number
    readonly limits?: Partial<Destination>
  }
  let failures = 0
  const fails = (count: number, how: { readonly retryAfterMs?: number } = {}): Behave => {
    failures = count
    return () => (failures-- > 0 ? { kind: "failed", detail: "500", permanent: false, ...how } : ok)
  }
  const waits: Readonly<Record<string, Wait>> = {
    "a retry": { behave: () => fails(1), owed: 1, withinMs: 3_100 },
    "the rest that a destination asks for": {
      behave: () => fails(1, { retryAfterMs: 30_000 }),
      owed: 5,
      withinMs: 33_000,
    },
    "an open breaker": { behave: () => fails(10), owed: 10, withinMs: 10_000 },
    "a limit of the rate": { behave: () => fails(0), owed: 10, withinMs: 10_500, limits: { ratePerSecond: 1 } },
    "an attempt that hangs": { behave: hangsOnce, owed: 1, withinMs: deliveryLimits.attemptMsMax * 1.5 + 5_000 },
  }
  const jumps = {
    back: [-hour],
    forward: [year],
    "back and right again": [-hour, hour],
    "forward and right again": [year, -year],
  }

  for (const [what, wait] of Object.entries(waits)) {
    it.each(Object.entries(jumps))(`delays ${what} by nothing when it is set %s`, async (_, jumps) => {
      const hub = await Delivering.start()
      const { behave, owed, withinMs, limits } = wait
      await hub.connect("a", behave(), { retry: soon }, limits)
      await hub.owe(owed, "a")
      await hub.machine.clock.advance(500)
      for (const ms of jumps) {
        hub.machine.clock.set(ms)
        await hub.machine.clock.advance(200)
      }
      await hub.machine.clock.advance(withinMs - 500)
      expect(await hub.depth("a")).toBe(0)
      expect(await hub.letters()).toEqual([])
    })

    it(`delays ${what} by nothing when it was ahead and is right again before it begins`, async () => {
      const hub = await Delivering.start()
      const { behave, owed, withinMs, limits } = wait
      hub.machine.clock.set(year)
      await hub.connect("a", behave(), { retry: soon }, limits)
      await hub.owe(owed, "a")
      await hub.machine.clock.advance(500)
      hub.machine.clock.set(-year)
      await hub.machine.clock.advance(withinMs)
      expect(await hub.depth("a")).toBe(0)
    })
  }

  function hangsOnce(): Behave {
    let hung = false
    return (_, signal) => {
      if (hung) return ok
      hung = true
      return never(signal)
    }
  }
})
