import type { Cursor } from "../src/core/cursor.ts"
import type { StoredEvent } from "../src/core/engine.ts"
import { type Attributes, Event } from "../src/core/event.ts"
import type { Filter, Trigger } from "../src/core/resources.ts"
import { compileNode } from "../src/filters/compile.ts"
import { readFilters } from "../src/filters/parse.ts"
import { compileSql } from "../src/filters/sql/compile.ts"
import { parseSql } from "../src/filters/sql/parser.ts"
import { EventView, type Json } from "../src/filters/view.ts"
import { createMatcher, type Matcher } from "../src/match/matcher.ts"
import { median } from "./load.ts"
import { type BenchOptions, type Measure, measure } from "./measure.ts"

/** Triggers that an event of each mix fires, about. */
interface Mix {
  readonly name: string
  readonly types: (triggers: number) => number
}

const mixes: readonly Mix[] = [
  { name: "few", types: (triggers) => Math.max(4, Math.round(triggers / 8)) },
  { name: "many", types: (triggers) => Math.max(4, Math.round(triggers / 200)) },
]

/**
 * Matching events against 10 to 100,000 triggers (60 % exact type, 10 % type prefix, 10 % source, 10 % a field of data,
 * 5 % a number, 5 % wildcard or suffix), beside a loop that asks every compiled trigger; CESQL evaluation and parsing;
 * changes while it runs. Events are parsed before.
 */
export async function* run(options: BenchOptions): AsyncIterable<Measure> {
  const ms = options.quick ? 150 : 1000
  for (const mix of mixes) {
    let ten: number | undefined
    for (const triggers of [10, 1000, 10_000, 100_000]) {
      const measured = measureMix(mix, triggers, ms)
      ten ??= measured.us
      const name = `match ${mix.name} ${triggers}`
      yield measure(
        `${name} (${measured.fired.toFixed(1)} fired)`,
        "events/s",
        1e6 / measured.us,
        1e6 / measured.naiveUs,
      )
      yield measure(`${name} against 10`, "us/event", measured.us, ten, true)
      if (measured.bytes > 0) yield measure(`${name} memory`, "B/trigger", measured.bytes, 1024, true)
      await new Promise(setImmediate)
    }
  }
  yield measureSql(ms)
  yield measureParse(ms)
  yield measureChanges()
}

/** What is counted so that no work is found to be useless. */
const sink = { count: 0 }

/** Numbers in [0, 1) from a seed. */
function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

function filterOf(chance: () => number, types: number): Filter {
  const type = `com.example.t${Math.floor(chance() * types)}`
  const kind = chance()
  const id = Math.floor(chance() * types * 2)
  if (kind < 0.6) return { exact: { type } }
  if (kind < 0.7) return { prefix: { type: `${type}.` } }
  if (kind < 0.8) return { exact: { source: `/shop/${id}` } }
  if (kind < 0.9) return { pattern: { data: { customer: [`c${id}`] } } }
  if (kind < 0.95) return { pattern: { data: { total: [{ numeric: [">=", id, "<", id + 2] }] } } }
  return chance() < 0.5 ? { suffix: { subject: `-${id}` } } : { path: { subject: `/orders/*/${id}/**` } }
}

function eventOf(chance: () => number, types: number, index: number): { event: Event; data: Json } {
  const n = () => Math.floor(chance() * types * 2)
  const type = `com.example.t${Math.floor(chance() * types)}${chance() < 0.5 ? ".created" : ""}`
  const attributes: Attributes = {
    specversion: "1.0",
    id: `e${index}`,
    source: `/shop/${n()}`,
    type,
    subject: chance() < 0.5 ? `/orders/eu/${n()}/items` : `order-${n()}`,
    time: "2026-01-01T00:00:00Z",
    datacontenttype: "application/json",
  }
  return {
    event: Event.of(attributes),
    data: { customer: `c${n()}`, total: n() + chance(), items: [{ sku: "A1", n: 2 }] },
  }
}

function triggerOf(index: number, filters: readonly Filter[]): Trigger {
  return {
    id: `trg-${index}`,
    tenant: "default",
    topic: "orders",
    filters,
    createdAt: 0,
    updatedAt: 0,
    labels: {},
    destination: "d",
    retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1 },
    from: "0" as Cursor,
  }
}

interface MixMeasured {
  readonly us: number
  readonly naiveUs: number
  readonly fired: number
  readonly bytes: number
}

function measureMix(mix: Mix, count: number, ms: number): MixMeasured {
  const chance = chanceOf(count)
  const types = mix.types(count)
  const triggers = Array.from({ length: count }, (_, index) => triggerOf(index, [filterOf(chance, types)]))
  const events = Array.from({ length: 2000 }, (_, index) => eventOf(chance, types, index))
  const stored = events.map(({ event }): StoredEvent => {
    return { address: { tenant: "default", topic: "orders" }, cursor: "1" as Cursor, storedAt: 0, event }
  })
  const before = heapBytes()
  const matcher = createMatcher()
  for (const trigger of triggers) matcher.set(trigger)
  const bytes = Math.max(0, heapBytes() - before) / count
  const asks = triggers.map((trigger) => compileOf(trigger))
  let fired = 0
  const index = (at: number) => {
    fired += matcher.match(stored[at]!, EventView.withData(stored[at]!.event, events[at]!.data)).length
  }
  const naive = (at: number) => {
    const view = EventView.withData(stored[at]!.event, events[at]!.data)
    for (const asked of asks) if (asked(view)) sink.count++
  }
  const [us, naiveUs] = alternate(index, naive, events.length, ms)
  fired = 0
  for (let at = 0; at < events.length; at++) index(at)
  return { us, naiveUs, fired: fired / events.length, bytes: count >= 1000 ? bytes : 0 }
}

function compileOf(trigger: Trigger): (view: EventView) => boolean {
  const read = readFilters(trigger.filters)
  if (!read.ok) throw new TypeError("the benchmark's filters check")
  return compileNode(read.node)
}

/** Bytes in use after a collection, where the process allows one (`--expose-gc`). */
function heapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

/** Medians of microseconds a call, taken in turns. */
function alternate(a: (at: number) => void, b: (at: number) => void, events: number, ms: number): [number, number] {
  const [as, bs]: [number[], number[]] = [[], []]
  timed(a, events, ms / 4)
  for (let round = 0; round < 3; round++) {
    as.push(timed(a, events, ms / 3))
    bs.push(timed(b, events, ms / 6))
  }
  return [median(as), median(bs)]
}

/** Microseconds of this thread's processor time a call, read seldom enough to cost nothing; other processes are left out. */
function timed(call: (at: number) => void, events: number, ms: number): number {
  const start = threadUs()
  let calls = 0
  let spent = 0
  let batch = 1
  do {
    for (let i = 0; i < batch; i++) call(calls++ % events)
    const before = spent
    spent = threadUs() - start
    if (spent - before < 100) batch *= 2
  } while (spent < ms * 1000)
  return spent / calls
}

function threadUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

const sql = "type = 'com.example.t1.created' AND source LIKE '/shop/%' AND priority > 5"

/** Against the bar that cel-js sets for an expression like it: 0.76 us. */
function measureSql(ms: number): Measure {
  const passes = compileSql(parseSql(sql).expression)
  const events = Array.from({ length: 64 }, (_, index) =>
    Event.of({
      specversion: "1.0",
      id: `${index}`,
      source: `/shop/${index}`,
      type: "com.example.t1.created",
      priority: index % 10,
    }),
  )
  const us = timed(
    (at) => {
      for (let i = 0; i < 64; i++) if (passes(new EventView(events[(at + i) & 63]!))) sink.count++
    },
    1 << 30,
    ms,
  )
  return measure("cesql three clauses", "us", us / 64, 0.76, true)
}

function measureParse(ms: number): Measure {
  const us = timed(
    () => {
      sink.count += parseSql(sql).nodes
    },
    1 << 30,
    ms,
  )
  return measure("cesql parse", "us", us, 30, true)
}

/** The longest time of one change, collecting garbage included, of 10,000 changes to 100,000 triggers, against the 5 ms it may be. */
function measureChanges(): Measure {
  const chance = chanceOf(7)
  const matcher: Matcher = createMatcher()
  const types = 12_500
  for (let index = 0; index < 100_000; index++) matcher.set(triggerOf(index, [filterOf(chance, types)]))
  const pauses: number[] = []
  for (let change = 0; change < 10_000; change++) {
    const index = Math.floor(chance() * 100_000)
    const start = performance.now()
    if (change % 2 === 0) matcher.delete("default", `trg-${index}`)
    else matcher.set(triggerOf(index, [filterOf(chance, types)]))
    pauses.push(performance.now() - start)
  }
  return measure("match change, longest of 10,000", "ms", Math.max(...pauses), 5, true)
}
