import type { StoredEvent } from "../src/core/log.ts"
import type { Trigger } from "../src/core/resources.ts"
import { compileNode } from "../src/filters/compile.ts"
import { readFilters } from "../src/filters/parse.ts"
import type { EventView } from "../src/filters/view.ts"
import { createMatcher, type Matcher } from "../src/match/matcher.ts"
import { heapBytes } from "./heap.ts"
import { median } from "./load.ts"
import { measureAdversaries } from "./match-adversaries.ts"
import { measureChanges } from "./match-changes.ts"
import { measureExpressions, measureSkimming } from "./match-expressions.ts"
import { type BenchOptions, type Measure, measure } from "./measure.ts"
import { chanceOf, eventOf, type Mix, parsed, triggersOf, typesOf } from "./mix.ts"

/** In each, an event fires about as many triggers at every size; only `many` cannot with 10 triggers. */
const mixes: readonly Mix[] = [
  { name: "half", perType: 1 },
  { name: "five", perType: 10 },
  { name: "five by Zipf", perType: 10, zipf: true },
  { name: "many", perType: 200 },
]

const sizes = [10, 1000, 10_000, 100_000]

/** Events that are made and parsed together, and matched together: what a router reads at once, small beside the caches. */
const batch = 256

/**
 * Matching events against 10 to 100,000 triggers, beside a loop that asks every compiled trigger; hostile triggers; CESQL
 * evaluation and parsing; changes while it runs.
 *
 * No event is matched twice: each batch is made anew from a seed, over all that the triggers ask for, and parsed from
 * bytes outside the measured time, so that its texts are as fresh, and the triggers that it fires as cold, as in a hub.
 */
export async function* run(options: BenchOptions): AsyncIterable<Measure> {
  const rounds = options.quick ? 5 : 15
  for (const mix of mixes) yield* measureMix(mix, rounds)
  yield* measureAdversaries(options.quick)
  yield* measureSkimming(options.quick)
  yield* measureExpressions(options.quick)
  yield* measureChanges(options.quick)
}

/** What is counted so that no work is found to be useless. */
const sink = { count: 0 }

/** One size of a mix: several matchers where they are small, for ten triggers by chance are not like the next ten. */
class Setup {
  readonly count: number
  readonly bytes: number
  readonly us: number[] = []
  readonly bytesUs: number[] = []
  readonly naiveUs: number[] = []
  fired = 0
  matched = 0
  readonly #types: number
  readonly #zipf: boolean
  readonly #matchers: Matcher[] = []
  readonly #triggers: (readonly Trigger[])[] = []
  readonly #naive: (readonly ((view: EventView) => boolean)[])[] = []
  readonly #chance: () => number

  constructor(mix: Mix, count: number) {
    this.count = count
    this.#types = typesOf(mix, count)
    this.#zipf = mix.zipf === true
    this.#chance = chanceOf(count)
    const matchers = count < 1000 ? 16 : 1
    for (let i = 0; i < matchers; i++) this.#triggers.push(triggersOf(this.#chance, count, this.#types))
    const before = heapBytes()
    for (const triggers of this.#triggers) {
      const matcher = createMatcher()
      for (const trigger of triggers) matcher.set(trigger)
      this.#matchers.push(matcher)
    }
    this.bytes = (heapBytes() - before) / count / matchers
    for (const triggers of this.#triggers) this.#naive.push(triggers.map(compileOf))
  }

  /** A batch each of parsed events, of bytes, and of parsed events for the loop. */
  round(batches: number): void {
    let us = 0
    let bytesUs = 0
    for (let each = 0; each < batches; each++) {
      const matcher = this.#matchers[each % this.#matchers.length]!
      const events = this.#events(batch)
      const views = events.map(parsed)
      const start = performance.now()
      for (let at = 0; at < batch; at++) this.fired += matcher.match(events[at]!, views[at]!).length
      us += performance.now() - start
      this.matched += batch
      const raw = this.#events(batch)
      const startBytes = performance.now()
      for (let at = 0; at < batch; at++) sink.count += matcher.match(raw[at]!).length
      bytesUs += performance.now() - startBytes
    }
    this.us.push((us * 1000) / batches / batch)
    this.bytesUs.push((bytesUs * 1000) / batches / batch)
    this.naiveUs.push(this.#naiveRound())
  }

  #naiveRound(): number {
    const events = this.#events(Math.max(1, Math.min(batch, 1e5 / this.count)))
    const views = events.map(parsed)
    let us = 0
    for (const naive of this.#naive) {
      const start = performance.now()
      for (const view of views) for (const asked of naive) if (asked(view)) sink.count++
      us += performance.now() - start
    }
    return (us * 1000) / views.length / this.#naive.length
  }

  #events(count: number): readonly StoredEvent[] {
    return Array.from({ length: count }, (_, index) => eventOf(this.#chance, this.#types, index, this.#zipf))
  }
}

/** All sizes in turn, round by round; medians of the rounds. */
function* measureMix(mix: Mix, rounds: number): Generator<Measure> {
  const setups = sizes.map((count) => new Setup(mix, count))
  for (const setup of setups) setup.round(64)
  for (const setup of setups) for (const figures of [setup.us, setup.bytesUs, setup.naiveUs]) figures.length = 0
  for (let round = 0; round < rounds; round++) for (const setup of setups) setup.round(32)
  const ten = median(setups[0]!.us)
  const tenBytes = median(setups[0]!.bytesUs)
  for (const { count, us, bytesUs, naiveUs, fired, matched, bytes } of setups) {
    const name = `match ${mix.name} ${count}`
    const each = median(us)
    yield measure(`${name} (${(fired / matched).toFixed(1)} fired)`, "events/s", 1e6 / each, 1e6 / median(naiveUs))
    yield measure(`${name} against 10`, "us/event", each, ten, true)
    yield measure(`${name} against 10, parsing included`, "us/event", median(bytesUs), tenBytes, true)
    if (count >= 1000) yield measure(`${name} memory`, "B/trigger", bytes, 1024, true)
  }
}

function compileOf(trigger: Trigger): (view: EventView) => boolean {
  const read = readFilters(trigger.filters)
  if (!read.ok) throw new TypeError("the benchmark's filters check")
  return compileNode(read.node)
}
