import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { Event } from "../core/event.ts"
import { newTopic, type RetentionRule, type Topic } from "../core/resources.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { Needs } from "./needed.ts"
import { Parts } from "./parts.ts"
import { dropByRules, overdueByRules, overdueOf, RuleMemory } from "./prune.ts"

const clock = createSimulatedClock(1_000_000)
let directory: string
let engine: Engine
let topics = 0
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "rules-"))
  engine = await openEmbeddedDirectory(directory, { clock, reserveBytes: 0, segmentBytes: 1 << 20 })
})
afterAll(async () => {
  await engine.close()
  await rm(directory, { recursive: true })
})

interface Stored {
  readonly cursor: Cursor
  readonly type: string
  readonly bytes: number
  readonly storedAt: number
}

const ofType = (type: string, limits: Omit<RetentionRule, "filters">): RetentionRule => {
  return { filters: [{ exact: { type } }], ...limits }
}

/** A topic with rules, beside a list of what it is to hold. */
class Kept {
  readonly topic: Topic
  readonly #address: { readonly tenant: string; readonly topic: string }
  readonly #memory = new RuleMemory()
  list: Stored[] = []
  #ids = 0

  constructor(rules: readonly RetentionRule[]) {
    const id = `t${++topics}`
    this.topic = { ...newTopic("default", id, 1, 0), retention: { rules } }
    this.#address = { tenant: "default", topic: id }
  }

  async publish(type: string, data = 0): Promise<void> {
    const event = Event.of({ specversion: "1.0", id: `${this.#ids++}`, source: "/s", type }, Buffer.alloc(data))
    const [appended] = await engine.log.append(this.#address, [event])
    const { storedAt } = (await engine.log.get(appended!.cursor))!
    this.list.push({ cursor: appended!.cursor, type, bytes: event.attributesJson.length + data, storedAt })
  }

  async trim(eventsMax: number): Promise<void> {
    await engine.log.trim(this.#address, { eventsMax })
    this.list = this.list.slice(-eventsMax)
  }

  /** Somebody drops what no rule has go. */
  async drop(every: number): Promise<void> {
    const going = this.list.filter((_, i) => i % every === 0)
    await engine.log.drop(
      this.#address,
      going.map(({ cursor }) => cursor),
    )
    this.list = this.list.filter((one) => !going.includes(one))
  }

  /** As the rules are written down: of what matches, the oldest while it is over. */
  over(): readonly number[] {
    let left = this.list
    return this.topic.retention.rules!.map((rule) => {
      const matching = left.filter(({ type }) => "exact" in rule.filters[0]! && rule.filters[0].exact.type === type)
      let bytes = matching.reduce((sum, one) => sum + one.bytes, 0)
      let went = 0
      for (const one of matching) {
        const isOld = one.storedAt < clock.now() - (rule.ageMaxMs ?? Number.POSITIVE_INFINITY)
        const isMore = matching.length - went > (rule.eventsMax ?? Number.POSITIVE_INFINITY)
        if (!isOld && !isMore && bytes <= (rule.bytesMax ?? Number.POSITIVE_INFINITY)) break
        bytes -= one.bytes
        went++
      }
      const gone = new Set(matching.slice(0, went))
      left = left.filter((one) => !gone.has(one))
      this.#left = left
      return went
    })
  }

  #left: Stored[] = []

  /** One round; what it does is what was said, and what is written down. */
  async round(): Promise<void> {
    const needs = () => new Needs(engine, clock)
    const over = this.over()
    const context = { log: engine.log, clock }
    const plain = await overdueOf(engine, this.topic, this.topic.retention, needs())
    const said = await overdueByRules(context, this.topic, needs(), plain)
    expect(said.rules.map(({ goes }) => goes.events)).toEqual(over)
    const done = await dropByRules(context, this.topic, needs(), this.#memory)
    expect(done.rules).toEqual(said.rules)
    this.list = this.#left
    const stored: Cursor[] = []
    for await (const { events } of engine.log.read({ where: this.#address })) {
      stored.push(...events.map(({ cursor }) => cursor))
    }
    expect(stored).toEqual(this.list.map(({ cursor }) => cursor))
  }
}

test("has go what the rules say, and nothing else, whatever else goes between the rounds", async () => {
  const limits = fc.record(
    {
      ageMaxMs: fc.integer({ min: 1_000, max: 20_000 }),
      eventsMax: fc.integer({ min: 1, max: 12 }),
      bytesMax: fc.integer({ min: 200, max: 5_000 }),
    },
    { requiredKeys: [] },
  )
  const rules = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), limits), { minLength: 1, maxLength: 3 })
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("publish" as const),
        of: fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 12 }),
        data: fc.nat(300),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("round" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("elapse" as const), ms: fc.integer({ min: 1, max: 8_000 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), keep: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("drop" as const), every: fc.integer({ min: 2, max: 5 }) }) },
  )
  await fc.assert(
    fc.asyncProperty(rules, fc.array(step, { minLength: 5, maxLength: 25 }), async (rules, steps) => {
      const kept = new Kept(rules.map(([type, limits]) => ofType(type, limits)))
      for (const step of steps) {
        if (step.kind === "publish") for (const type of step.of) await kept.publish(type, step.data)
        else if (step.kind === "round") await kept.round()
        else if (step.kind === "elapse") await clock.advance(step.ms)
        else if (step.kind === "trim") await kept.trim(step.keep)
        else await kept.drop(step.every)
      }
      await kept.round()
      await kept.round()
    }),
    { numRuns: 60 },
  )
})

test("what was looked at before is not read again", async () => {
  const kept = new Kept([ofType("debug", { ageMaxMs: 10_000 }), ofType("debug", { eventsMax: 3 })])
  for (let i = 0; i < 30; i++) await kept.publish(i % 3 === 0 ? "debug" : "order")
  const read: string[] = []
  const counting = Object.assign(Object.create(engine.log) as Engine["log"], {
    partitionOf: () => 0,
    async *read(options: Parameters<Engine["log"]["read"]>[0]) {
      for await (const batch of engine.log.read(options)) {
        read.push(...batch.events.map(({ event }) => event.id))
        yield batch
      }
    },
  })
  for (const name of ["head", "oldest", "compare", "stats", "drop"] as const) {
    Object.assign(counting, { [name]: (engine.log[name] as (...all: unknown[]) => unknown).bind(engine.log) })
  }
  const memory = new RuleMemory()
  const round = () => dropByRules({ log: counting, clock }, kept.topic, new Needs(engine, clock), memory)
  expect((await round()).goes).toBe(7)
  read.length = 0
  for (let i = 0; i < 3; i++) await kept.publish("order")
  expect((await round()).goes).toBe(0)
  expect(read).toEqual(["30", "31", "32"])
})

test("keeps all from the oldest need on, unless the topic says otherwise", async () => {
  const kept = new Kept([ofType("debug", { eventsMax: 1 })])
  for (let i = 0; i < 6; i++) await kept.publish("debug")
  const held = { kind: "trigger", id: "late", trigger: "late", needed: { after: kept.list[1]!.cursor } } as const
  const needs = Object.assign(new Needs(engine, clock), { of: async () => held })
  const context = { log: engine.log, clock }
  const done = await dropByRules(context, kept.topic, needs)
  expect(done).toMatchObject({ goes: 2, stays: 3, held })
  const letting = { ...kept.topic, retention: { ...kept.topic.retention, dropUndelivered: true } } as const
  expect(await dropByRules(context, letting, needs)).toMatchObject({ goes: 3, stays: 0 })
})

test("parts are bounded, and tell of all that was counted", () => {
  const parts = new Parts()
  for (let i = 0; i < 1_000; i++) {
    parts.add({ after: `${i}` as Cursor, upTo: `${i + 1}` as Cursor, all: i % 7, events: i % 3, bytes: 1 })
  }
  expect(parts.list.length).toBeLessThanOrEqual(64)
  const sum = (of: (i: number) => number) => Array.from({ length: 1_000 }, (_, i) => of(i)).reduce((a, b) => a + b, 0)
  expect(parts.all).toBe(sum((i) => i % 7))
  expect(parts.after(parts.list[0]!)).toEqual({ events: sum((i) => i % 3), bytes: 1_000 })
  expect(parts.list.every((part, i) => i === 0 || parts.list[i - 1]!.upTo === part.after)).toBe(true)
})
