import fc from "fast-check"
import { expect } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import type { Engine } from "../../core/engine.ts"
import { DamagedError, InvalidCursorError } from "../../core/errors.ts"
import type { EventLog } from "../../core/log.ts"
import type { Declare, Harness } from "./harness.ts"
import { all, append, event, events, key, orders, read, users } from "./log-fixture.ts"

const identity = (id: string) => ({ source: "/shop", id })

/** How events go that lie between others which stay. */
export function logDropping(it: Declare<Engine>): void {
  it("drops single events for every reader, and keeps all others", async (engine, harness) => {
    const cursors: Cursor[] = []
    for (let i = 0; i < 8; i++) {
      cursors.push(await append(engine.log, { ...orders, key: String(i % 2) }, event(`e${i}`)))
      await append(engine.log, users, event(`u${i}`))
      await harness.elapse(1_000)
    }
    const { bytes } = await engine.log.stats(orders)
    const stored = await all(engine.log, { where: orders })
    expect(await engine.log.drop(orders, [cursors[6]!, cursors[1]!, cursors[2]!, cursors[7]!])).toBe(4)
    const check = async (log: EventLog) => {
      const left = ["e0", "e3", "e4", "e5"]
      expect(await read(log, { where: orders })).toEqual(left)
      const whole = await read(log, { partition: log.partitionOf(orders) })
      expect(whole.filter((id) => id.startsWith("e"))).toEqual(left)
      expect(await read(log, { where: users })).toHaveLength(8)
      expect(await read(log, { where: key("1") })).toEqual(["e3", "e5"])
      expect(await read(log, { where: orders, from: cursors[1]! })).toEqual(["e3", "e4", "e5"])
      expect(await read(log, { where: orders, from: cursors[2]!, until: cursors[6]! })).toEqual(["e3", "e4", "e5"])
      expect(await read(log, { where: orders, from: { time: stored[1]!.storedAt } })).toEqual(["e3", "e4", "e5"])
      for (const i of [1, 2, 6, 7]) {
        expect(await log.get(cursors[i]!)).toBeUndefined()
        expect(await log.get(cursors[i]!, { of: orders })).toBeUndefined()
        expect(await log.find(orders, identity(`e${i}`))).toBeUndefined()
      }
      for (const i of [0, 3, 4, 5]) {
        expect((await log.get(cursors[i]!, { of: orders }))?.event.id).toBe(`e${i}`)
        expect((await log.find(orders, identity(`e${i}`)))?.cursor).toBe(cursors[i])
      }
      expect(await log.last(orders)).toBe(cursors[5])
      expect(await log.last(key("0"))).toBe(cursors[4])
      const stats = await log.stats(orders)
      expect(stats).toMatchObject({ events: 4, oldestAt: stored[0]!.storedAt, newestAt: stored[5]!.storedAt })
      expect(stats.bytes).toBe(bytes / 2)
      expect(await log.stats(orders, cursors[1]!)).toMatchObject({ events: 3, oldestAt: stored[3]!.storedAt })
      expect(await log.stats(orders, cursors[5]!)).toMatchObject({ events: 0 })
      const between = { events: 2, oldestAt: stored[3]!.storedAt, newestAt: stored[4]!.storedAt }
      expect(await log.stats(orders, cursors[0]!, cursors[4]!)).toMatchObject(between)
      expect(await log.stats(orders, cursors[5]!, cursors[7]!)).toEqual({ events: 0, bytes: 0 })
      expect(await log.stats(orders, undefined, cursors[2]!)).toMatchObject({ events: 1 })
      expect(await log.dropped(orders)).toBeUndefined()
    }
    await check(engine.log)
    const { log } = await harness.crash(engine)
    await check(log)
    const next = await append(log, orders, event("next"))
    expect(log.compare(cursors[7]!, next)).toBeLessThan(0)
    expect(await read(log, { where: orders })).toEqual(["e0", "e3", "e4", "e5", "next"])
  })

  it("passes over cursors where the topic has nothing", async ({ log }) => {
    const other = await append(log, users, event("other"))
    const cursors = (await log.append(orders, events(4))).map((one) => one.cursor)
    expect(await log.drop(orders, [])).toBe(0)
    expect(await log.drop(orders, [other, log.oldest(log.partitionOf(orders))])).toBe(0)
    await log.trim(orders, { eventsMax: 3 })
    expect(await log.drop(orders, [cursors[0]!, cursors[1]!, cursors[1]!])).toBe(1)
    expect(await log.drop(orders, [cursors[1]!])).toBe(0)
    expect(await log.drop({ ...orders, topic: "never" }, [cursors[2]!])).toBe(0)
    await expect(log.drop(orders, ["x" as Cursor])).rejects.toThrow(InvalidCursorError)
    expect(await read(log, { where: users })).toEqual(["other"])
    expect((await read(log, { where: orders }))[0]).toBe("e2")
    // Where nothing was dropped, something is missing.
    const never = { tenant: "acme", topic: "never" }
    await expect(log.get(cursors[1]!, { of: never })).rejects.toThrow(DamagedError)
  })

  it("trims what is left of a topic, and knows of its mark what lies before it", async (engine, harness) => {
    const cursors = (await engine.log.append(orders, events(10))).map((one) => one.cursor)
    expect(
      await engine.log.drop(
        orders,
        [1, 3, 5, 7, 9].map((i) => cursors[i]!),
      ),
    ).toBe(5)
    expect(await engine.log.trimmable(orders, { eventsMax: 2 })).toMatchObject({ events: 3, last: cursors[4] })
    expect(await engine.log.trim(orders, { eventsMax: 2 })).toBe(3)
    expect(await engine.log.dropped(orders)).toBe(cursors[4])
    const { log } = await harness.crash(engine)
    expect(await read(log, { where: orders })).toEqual(["e6", "e8"])
    for (const i of [0, 1, 5, 9]) expect(await log.get(cursors[i]!, { of: orders })).toBeUndefined()
    expect(await log.drop(orders, [cursors[6]!, cursors[8]!])).toBe(2)
    expect(await log.stats(orders)).toEqual({ events: 0, bytes: 0 })
    expect(await log.last(orders)).toBeUndefined()
    const { log: again } = await harness.crash({ ...engine, log })
    expect(await read(again, { where: orders })).toEqual([])
    await append(again, orders, event("next"))
    expect(await read(again, { where: orders })).toEqual(["next"])
  })

  it("tells who follows nothing of what is gone", async ({ log }, { elapse }) => {
    const cursors = (await log.append(orders, events(6))).map((one) => one.cursor)
    await log.drop(orders, [cursors[0]!, cursors[4]!])
    const stop = new AbortController()
    const seen: string[] = []
    const reading = (async () => {
      for await (const batch of log.read({ where: orders, follow: stop.signal })) {
        for (const one of batch.events) seen.push(one.event.id)
        if (seen.includes("next")) stop.abort()
      }
    })()
    await append(log, orders, event("next"))
    for (let i = 0; i < 50 && !stop.signal.aborted; i++) await elapse(100)
    await reading
    expect(seen).toEqual(["e1", "e2", "e3", "e5", "next"])
  })

  it("holds what a list would hold, through drops, trims and crashes", async (engine, harness) => {
    const rounds = fc.sample(round, { numRuns: 12, seed: 7 })
    await new Life(engine, harness).take(rounds.flat())
  })
}

type Step =
  | { readonly kind: "append"; readonly count: number }
  | { readonly kind: "drop"; readonly every: number; readonly from: number; readonly count: number }
  | { readonly kind: "trim"; readonly keep: number }
  | { readonly kind: "crash" }

const round: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 12 }) }),
    fc.record({
      kind: fc.constant("drop" as const),
      every: fc.integer({ min: 1, max: 3 }),
      from: fc.nat(20),
      count: fc.integer({ min: 1, max: 12 }),
    }),
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), keep: fc.integer({ min: 10, max: 40 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const) }) },
  ),
  { minLength: 3, maxLength: 6 },
)

/** A topic beside a list of what it is to hold. */
class Life {
  #engine: Engine
  readonly #harness: Harness<Engine>
  #kept: { readonly id: string; readonly cursor: Cursor }[] = []
  readonly #gone: Cursor[] = []
  #ids = 0

  constructor(engine: Engine, harness: Harness<Engine>) {
    this.#engine = engine
    this.#harness = harness
  }

  async take(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#step(step)
      await this.#check(JSON.stringify(steps.slice(0, steps.indexOf(step) + 1)))
    }
  }

  async #step(step: Step): Promise<void> {
    const { log } = this.#engine
    if (step.kind === "crash") this.#engine = await this.#harness.crash(this.#engine)
    else if (step.kind === "append") {
      const given = Array.from({ length: step.count }, () => event(`e${this.#ids++}`))
      const appended = await log.append(orders, given)
      this.#kept.push(...given.map(({ id }, i) => ({ id, cursor: appended[i]!.cursor })))
    } else if (step.kind === "trim") {
      const over = this.#kept.slice(0, Math.max(0, this.#kept.length - step.keep))
      expect(await log.trim(orders, { eventsMax: step.keep })).toBe(over.length)
      this.#went(over)
    } else {
      const going = this.#kept.slice(step.from).filter((_, i) => i % step.every === 0 && i < step.count * step.every)
      const already = this.#gone.slice(-3)
      expect(await log.drop(orders, [...already, ...going.map(({ cursor }) => cursor)])).toBe(going.length)
      this.#went(going)
    }
  }

  #went(gone: readonly { readonly cursor: Cursor }[]): void {
    const cursors = new Set(gone.map(({ cursor }) => cursor))
    this.#gone.push(...cursors)
    this.#kept = this.#kept.filter(({ cursor }) => !cursors.has(cursor))
  }

  /** Holds it against the list; `after` is what was done. */
  async #check(after: string): Promise<void> {
    const { log } = this.#engine
    const stored = await all(log, { where: orders })
    expect(
      stored.map(({ event, cursor }) => ({ id: event.id, cursor })),
      after,
    ).toEqual(this.#kept)
    expect((await log.stats(orders)).events).toBe(this.#kept.length)
    const whole = await read(log, { partition: log.partitionOf(orders) })
    expect(whole).toEqual(this.#kept.map(({ id }) => id))
    expect(await log.last(orders)).toBe(this.#kept.at(-1)?.cursor)
    for (const cursor of this.#gone.slice(-5)) expect(await log.get(cursor, { of: orders })).toBeUndefined()
  }
}
