import { PerformanceObserver } from "node:perf_hooks"
import type { StoredEvent } from "../src/core/log.ts"
import type { EventView } from "../src/filters/view.ts"
import { createMatcher, type Matcher } from "../src/match/matcher.ts"
import { heapBytes } from "./heap.ts"
import { type Measure, measure } from "./measure.ts"
import { chanceOf, eventOf, filterOf, parsed, triggerOf, triggersOf } from "./mix.ts"

const triggers = 100_000
const types = triggers / 10

/**
 * Changes at 10,000/s to 100,000 triggers while events are matched without a stop: the longest time between the end of one
 * match and of the next, whatever it went to; beside it the longest in a loop that does nothing, which other processes made.
 */
export async function* measureChanges(quick: boolean): AsyncGenerator<Measure> {
  const chance = chanceOf(7)
  const matcher = createMatcher()
  yield measure("match longest of adding 100,000 triggers", "ms", fill(matcher, chance), 5, true)
  const events = Array.from({ length: 4096 }, (_, index) => eventOf(chance, types, index))
  const ready = { events, views: events.map(parsed) }
  // What making all of this has left over is not what changes cost.
  heapBytes()
  const collections: number[] = []
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collections.push(duration)
  })
  observer.observe({ entryTypes: ["gc"] })
  const total = quick ? 10_000 : 50_000
  const changed = await change(matcher, ready, chance, total)
  await new Promise((resolve) => setTimeout(resolve, 10))
  observer.disconnect()
  const idle = idlePauses(total / 10)
  yield measure("match changes while matching", "changes/s", total / changed.seconds, 10_000)
  yield measure("match events while changing", "events/s", changed.matched / changed.seconds, 200_000)
  yield measure("match change, median", "us", changed.changesMs[total >> 1]! * 1000, 100, true)
  yield measure("match change, p99.9", "ms", changed.changesMs[Math.floor(total * 0.999)]!, 5, true)
  yield measure("match longest pause while changing", "ms", changed.pauses.longestMs, idle.longestMs, true)
  yield measure("match pauses over 5 ms while changing", "pauses", changed.pauses.long, idle.long, true)
  yield measure("match longest collection of garbage while changing", "ms", Math.max(0, ...collections), 5, true)
}

function fill(matcher: Matcher, chance: () => number): number {
  let longestMs = 0
  for (const trigger of triggersOf(chance, triggers, types)) {
    const start = performance.now()
    matcher.set(trigger)
    longestMs = Math.max(longestMs, performance.now() - start)
  }
  return longestMs
}

/** The longest time between two calls, and how many were over 5 ms. */
class Pauses {
  longestMs = 0
  long = 0
  #before = performance.now()

  /** Answers the time. */
  tick(): number {
    const now = performance.now()
    this.longestMs = Math.max(this.longestMs, now - this.#before)
    if (now - this.#before > 5) this.long++
    this.#before = now
    return now
  }
}

interface Ready {
  readonly events: readonly StoredEvent[]
  readonly views: readonly EventView[]
}

async function change(matcher: Matcher, { events, views }: Ready, chance: () => number, total: number) {
  const present = new Array<boolean>(triggers).fill(true)
  const changesMs: number[] = []
  let matched = 0
  const start = performance.now()
  const pauses = new Pauses()
  for (let done = 0; done < total; done++) {
    const index = Math.floor(chance() * triggers)
    const from = performance.now()
    if (present[index]) matcher.delete("default", `trg-${index}`)
    else matcher.set(triggerOf(index, [filterOf(chance, types)]))
    changesMs.push(performance.now() - from)
    present[index] = !present[index]
    const due = start + (done + 1) / 10
    do matcher.match(events[matched & 4095]!, views[matched++ & 4095]!)
    while (pauses.tick() < due)
    if (done % 100 === 0) await new Promise(setImmediate)
  }
  const seconds = (performance.now() - start) / 1000
  changesMs.sort((a, b) => a - b)
  return { changesMs, matched, pauses, seconds }
}

function idlePauses(ms: number): Pauses {
  const end = performance.now() + ms
  const pauses = new Pauses()
  while (pauses.tick() < end);
  return pauses
}
