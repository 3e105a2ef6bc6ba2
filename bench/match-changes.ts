import { PerformanceObserver } from "node:perf_hooks"
import { createMatcher } from "../src/match/matcher.ts"
import { type Measure, measure } from "./measure.ts"
import { chanceOf, eventOf, filterOf, parsed, triggerOf } from "./mix.ts"

const triggers = 100_000

/**
 * Changes at 10,000/s to 100,000 triggers while events are matched without a stop: the longest time of one change or one
 * match, collecting garbage included. Thread time leaves out what other processes took of the core.
 */
export async function* measureChanges(quick: boolean): AsyncGenerator<Measure> {
  const chance = chanceOf(7)
  const matcher = createMatcher()
  const types = triggers / 10
  for (let index = 0; index < triggers; index++) matcher.set(triggerOf(index, [filterOf(chance, types)]))
  const events = Array.from({ length: 4096 }, (_, index) => eventOf(chance, types, index))
  const views = events.map(parsed)
  const present = new Array<boolean>(triggers).fill(true)
  const collections: number[] = []
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collections.push(duration)
  })
  observer.observe({ entryTypes: ["gc"] })
  const total = quick ? 10_000 : 100_000
  const changes: number[] = []
  let matched = 0
  let pause = 0
  const start = performance.now()
  let before = start
  for (let change = 0; change < total; change++) {
    const index = Math.floor(chance() * triggers)
    const from = performance.now()
    if (present[index]) matcher.delete("default", `trg-${index}`)
    else matcher.set(triggerOf(index, [filterOf(chance, types)]))
    const now = performance.now()
    changes.push(now - from)
    present[index] = !present[index]
    const due = start + (change + 1) / 10
    do {
      matcher.match(events[matched & 4095]!, views[matched & 4095]!)
      matched++
      const after = performance.now()
      pause = Math.max(pause, after - before)
      before = after
    } while (before < due)
    if (change % 100 === 0) {
      await new Promise(setImmediate)
      before = performance.now()
    }
  }
  const seconds = (performance.now() - start) / 1000
  await new Promise((resolve) => setTimeout(resolve, 10))
  observer.disconnect()
  changes.sort((a, b) => a - b)
  yield measure("match changes while matching", "changes/s", total / seconds, 10_000)
  yield measure("match events while changing", "events/s", matched / seconds, 200_000)
  yield measure("match change, median", "us", changes[total >> 1]! * 1000, 100, true)
  yield measure("match change, p99.9", "ms", changes[Math.floor(total * 0.999)]!, 5, true)
  yield measure("match longest pause while changing", "ms", pause, 5, true)
  yield measure("match longest collection of garbage in it", "ms", Math.max(0, ...collections), 5, true)
}
