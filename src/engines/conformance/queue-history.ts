import fc from "fast-check"
import { expect } from "vitest"
import type { Lease } from "../../core/deliveries.ts"
import type { Delivery } from "../../core/delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import type { Declare, Harness } from "./harness.ts"
import { delivery, leaseMs, letter, type QueueUnderTest } from "./queue-fixture.ts"

const size = 6
/** Steps of time never meet the ends of delays and leases. */
const delayMs = 1_000
const shortMs = 600
const longMs = 3_000

type Ending = "done" | "retry" | "bury" | "bury and hold" | "release" | "rest" | "hold"

type Step =
  | { readonly do: "enqueue"; readonly which: readonly number[] }
  | { readonly do: "lease"; readonly max: number }
  | { readonly do: Ending; readonly which: number }
  | { readonly do: "resume" | "drop" | "move" | "crash" | "carry" }
  | { readonly do: "redrive" | "discard"; readonly which: number }
  | { readonly do: "elapse"; readonly ms: number }

const which = fc.nat(size - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("enqueue" as const), which: fc.array(which, { maxLength: 4 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("lease" as const), max: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "done" as const,
        "retry" as const,
        "bury" as const,
        "bury and hold" as const,
        "release" as const,
        "rest" as const,
        "hold" as const,
      ),
      which: fc.nat(3),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("resume" as const, "drop" as const, "move" as const, "crash" as const, "carry" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("redrive" as const, "discard" as const), which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("elapse" as const), ms: fc.constantFrom(shortMs, longMs) }) },
)

/** What a delivery is, by the contract alone. */
interface Expected {
  state: "none" | "due" | "leased" | "parked" | "held" | "dead"
  /** Which of the trigger's two destinations it is for. */
  at: 0 | 1
  attempts: number
  forgiven: number
  /** Its death holds its order key. */
  holds: boolean
  /** When the lease or the parking ends. */
  until: number
}

const nothing = (): Expected => ({
  state: "none",
  at: 0,
  attempts: 0,
  forgiven: 0,
  holds: false,
  until: 0,
})

/** A trigger's two lanes and their model; each run of the property has its own, by the run's number. */
class History {
  readonly #harness: Harness<QueueUnderTest>
  readonly #all: readonly Delivery[]
  readonly #trigger: string
  readonly #destinations: readonly [string, string]
  readonly #expected = Array.from({ length: size }, nothing)
  readonly #leases = new Map<number, Lease>()
  #tested: QueueUnderTest
  #now = 0
  /** Where the trigger sends now. */
  #to: 0 | 1 = 0

  constructor(harness: Harness<QueueUnderTest>, tested: QueueUnderTest, all: readonly Delivery[]) {
    this.#harness = harness
    this.#tested = tested
    this.#all = all
    this.#trigger = all[0]!.trigger
    this.#destinations = [all[0]!.destination, `${all[0]!.destination}-b`]
  }

  get tested(): QueueUnderTest {
    return this.#tested
  }

  get #queue(): DeliveryQueue {
    return this.#tested.queue
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "enqueue":
        for (const i of step.which)
          if (this.#expected[i]!.state === "none") this.#expected[i] = { ...nothing(), at: this.#to }
        await this.#queue.enqueue(step.which.map((i) => this.#delivery(i)))
        for (const i of step.which) if (this.#expected[i]!.state === "none") this.#expected[i]!.state = "due"
        break
      case "lease":
        for (const at of [0, 1] as const) await this.#lease(step.max, at)
        break
      case "move":
        await this.#move()
        break
      case "resume":
        expect(await this.#queue.resume("acme", this.#trigger, "i1")).toBe(this.#become("due", ["held"]))
        break
      case "drop":
        expect(await this.#queue.drop("acme", this.#trigger, "i1")).toBe(
          this.#become("none", ["due", "leased", "parked", "held"]),
        )
        this.#leases.clear()
        break
      case "redrive":
        await this.#redrive(step.which)
        break
      case "discard": {
        const isDead = this.#expected[step.which]!.state === "dead"
        expect(await this.#queue.discard("acme", this.#all[step.which]!.id)).toBe(isDead)
        if (isDead) this.#expected[step.which] = nothing()
        break
      }
      case "carry":
        await this.#carry()
        break
      case "elapse":
        await this.#elapse(step.ms)
        break
      case "crash":
        for (const i of [...this.#leases.keys()]) await this.#end(i, "release")
        this.#tested = await this.#harness.crash(this.#tested)
        break
      default: {
        const leased = [...this.#leases.keys()]
        if (leased.length > 0) await this.#end(leased[step.which % leased.length]!, step.do)
      }
    }
    await this.#check()
  }

  /** Everything that is left, delivered. */
  async finish(): Promise<void> {
    await this.take({ do: "resume" })
    for (const [which, { holds }] of this.#expected.entries()) if (holds) await this.take({ do: "discard", which })
    for (let i = 0; i < 3 + size; i++) {
      await this.#elapse(longMs)
      for (const at of [0, 1] as const) await this.#lease(size, at)
      for (const leased of [...this.#leases.keys()]) await this.#end(leased, "done")
    }
    await this.#check()
    expect(this.#expected.filter(({ state }) => state !== "none" && state !== "dead")).toEqual([])
  }

  #delivery(i: number): Delivery {
    return { ...this.#all[i]!, destination: this.#destinations[this.#expected[i]!.at] }
  }

  #lane(at: 0 | 1): string {
    return `acme/${this.#destinations[at]}`
  }

  /** All but what is leased becomes due at the other destination, as if it were new. */
  async #move(): Promise<void> {
    this.#to = this.#to === 0 ? 1 : 0
    const of = { tenant: "acme", trigger: this.#trigger, incarnation: "i1" }
    const moved = this.#expected.filter(({ state, at }) => ["due", "parked", "held"].includes(state) && at !== this.#to)
    expect(await this.#queue.move(of, this.#destinations[this.#to])).toBe(moved.length)
    for (const expected of moved) Object.assign(expected, { ...nothing(), state: "due", at: this.#to })
  }

  async #lease(max: number, at: 0 | 1): Promise<void> {
    const isDue = (expected: Expected, i: number) =>
      expected.state === "due" && expected.at === at && this.#isFirst(i) && !this.#isUnderWay(i)
    const all = this.#expected.flatMap((expected, i) => (isDue(expected, i) ? [i] : []))
    const leases = await this.#queue.lease({ lane: this.#lane(at), max, leaseMs })
    const due = this.#isOrdered ? this.#anyOf(all, leases, max) : all.slice(0, max)
    expect(leases.map((lease) => lease.delivery)).toEqual(due.map((i) => this.#delivery(i)))
    for (const [n, i] of due.entries()) {
      const expected = this.#expected[i]!
      expect(leases[n]).toMatchObject({ attempt: expected.attempts + 1, attemptsForgiven: expected.forgiven })
      Object.assign(expected, { state: "leased", until: this.#now + leaseMs })
      this.#leases.set(i, leases[n]!)
    }
  }

  get #isOrdered(): boolean {
    return this.#all.some(({ orderKey }) => orderKey !== undefined)
  }

  /** Keys have turns: as many as there may be, of those that there are. */
  #anyOf(due: readonly number[], leases: readonly Lease[], max: number): readonly number[] {
    expect(leases).toHaveLength(Math.min(max, due.length))
    const taken = leases.map(({ delivery }) => this.#all.findIndex(({ id }) => id === delivery.id))
    expect(due).toEqual(expect.arrayContaining(taken))
    return taken
  }

  /** Those that are ordered with it, itself too. */
  #ofItsKey(i: number): readonly number[] {
    const { orderKey } = this.#all[i]!
    const isLike = (j: number) => this.#all[j]!.orderKey === orderKey && this.#expected[j]!.at === this.#expected[i]!.at
    return orderKey === undefined ? [i] : this.#all.map((_, j) => j).filter(isLike)
  }

  /** Nothing that it has to wait for is before it. */
  #isFirst(i: number): boolean {
    const isThere = ({ state, holds }: Expected) => state !== "none" && (state !== "dead" || holds)
    return this.#ofItsKey(i).find((j) => isThere(this.#expected[j]!)) === i
  }

  #isUnderWay(i: number): boolean {
    return this.#ofItsKey(i).some((j) => this.#expected[j]!.state === "leased")
  }

  /** What the queue calls it. */
  #stateOf(i: number): Expected["state"] | "waiting" {
    const { state } = this.#expected[i]!
    return state === "due" && !this.#isFirst(i) ? "waiting" : state
  }

  async #end(i: number, how: Ending): Promise<void> {
    const lease = this.#leases.get(i)!
    const expected = this.#expected[i]!
    this.#leases.delete(i)
    const isBuried = how === "bury" || how === "bury and hold"
    const counted = how === "retry" || isBuried
    if (counted) expected.attempts++
    if (how === "done") {
      await this.#queue.end(lease, { kind: "done" })
      this.#expected[i] = nothing()
    } else if (how === "retry") {
      await this.#queue.end(lease, { kind: "retry", delayMs })
      Object.assign(expected, { state: "parked", until: this.#now + delayMs })
    } else if (isBuried) {
      expected.holds = how === "bury and hold" && lease.delivery.orderKey !== undefined
      await this.#queue.end(lease, { kind: "dead", letter: letter(lease.delivery), holdsKey: expected.holds })
      expected.state = "dead"
    } else if (how === "hold") {
      await this.#queue.end(lease, { kind: "hold" })
      expected.state = "held"
    } else {
      await this.#queue.end(lease, { kind: "release", delayMs: how === "rest" ? delayMs : 0 })
      if (how === "rest") Object.assign(expected, { state: "parked", until: this.#now + delayMs })
      else expected.state = "due"
    }
  }

  async #redrive(i: number): Promise<void> {
    const expected = this.#expected[i]!
    expect(await this.#queue.redrive("acme", this.#all[i]!.id)).toBe(expected.state === "dead")
    if (expected.state === "dead") {
      Object.assign(expected, { state: "due", forgiven: expected.attempts, holds: false })
    }
  }

  async #elapse(ms: number): Promise<void> {
    await this.#harness.elapse(ms)
    this.#now += ms
    for (const [i, expected] of this.#expected.entries()) {
      if (expected.until > this.#now) continue
      if (expected.state === "parked") expected.state = "due"
      if (expected.state !== "leased") continue
      expected.state = "due"
      expected.attempts++
      this.#leases.delete(i)
    }
  }

  /** What the queue says that it holds is what it holds; giving it all to it again changes nothing. */
  async #carry(): Promise<void> {
    const held = new Set<string>()
    for await (const items of this.#queue.carried()) {
      for (const item of items) {
        const { id, trigger } = item.kind === "dead" ? item.letter : item.delivery
        if (trigger !== this.#trigger) continue
        expect(held.has(id), `${id} comes twice`).toBe(false)
        const expected = this.#expected[this.#all.findIndex((one) => one.id === id)]!
        expect(item).toMatchObject({ kind: expected.state === "dead" ? "dead" : "open", attempts: expected.attempts })
        expect(item.kind === "dead" && item.holdsKey === true).toBe(expected.holds)
        if (item.kind === "open") {
          expect(item).toMatchObject({ attemptsForgiven: expected.forgiven, held: expected.state === "held" })
        }
        held.add(id)
      }
      await this.#queue.carry(items)
    }
    expect(held.size).toBe(this.#expected.filter(({ state }) => state !== "none").length)
  }

  /** Changes all that are in one of these states; answers how many. */
  #become(state: "due" | "none", from: readonly Expected["state"][]): number {
    let changed = 0
    for (const [i, expected] of this.#expected.entries()) {
      if (!from.includes(expected.state)) continue
      if (state === "none") this.#expected[i] = nothing()
      else expected.state = state
      changed++
    }
    return changed
  }

  async #check(): Promise<void> {
    for (const lane of [0, 1] as const) {
      const open = this.#expected.filter(({ state, at }) => at === lane && state !== "none" && state !== "dead")
      expect(await this.#queue.depth(this.#lane(lane))).toBe(open.length)
    }
    const listed = await this.#queue.openDeliveries({
      tenant: "acme",
      limit: 100,
      trigger: this.#trigger,
    })
    const states = this.#expected.flatMap(({ state, attempts }, i) =>
      state === "none" || state === "dead" ? [] : [{ id: this.#all[i]!.id, state: this.#stateOf(i), attempts }],
    )
    expect(listed.deliveries.map(({ delivery: { id }, state, attempts }) => ({ id, state, attempts }))).toEqual(states)
    for (const [i, { state, attempts }] of this.#expected.entries()) {
      const found = await this.#queue.open(this.#delivery(i))
      if (state === "none" || state === "dead") expect(found, `delivery ${i}`).toBeUndefined()
      else expect(found, `delivery ${i}`).toMatchObject({ state: this.#stateOf(i), attempts })
      const dead = await this.#queue.deadLetter("acme", this.#all[i]!.id)
      expect(dead !== undefined, `delivery ${i} is dead`).toBe(state === "dead")
    }
  }
}

/** Of every second run's deliveries all but some are in one of two orders. */
function orderOf(run: number, i: number): Pick<Delivery, "orderKey"> {
  return run % 2 === 0 && i % 3 !== 2 ? { orderKey: `k${i % 3}` } : {}
}

/** Any order of calls, held against a model that is the contract in forty lines. */
export function queueHistory(it: Declare<QueueUnderTest>): void {
  it("agrees with its contract after any history", async (first, harness) => {
    let tested = first
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), async (steps) => {
        run++
        const parts = { trigger: `t${run}`, destination: `d${run}` }
        const all = (await tested.cursors(size)).map((cursor, i) => delivery(cursor, { ...parts, ...orderOf(run, i) }))
        const history = new History(harness, tested, all)
        try {
          for (const step of steps) await history.take(step)
          await history.finish()
        } finally {
          tested = history.tested
        }
      }),
      { numRuns: Number(process.env.QUEUE_RUNS ?? 25) },
    )
  })
}
