import { setImmediate } from "node:timers/promises"
import type { Clock } from "../core/clock.ts"
import type { WorkMeter } from "./work.ts"

/** A clock that stands still until told to move. */
export interface SimulatedClock extends Clock {
  /** Timers that wait. */
  readonly waiting: number
  /** When the next timer is due, in Unix milliseconds with their fraction; undefined where none waits. */
  nextAt(): number | undefined
  /** Moves to the next timer and runs it; false where none waits. What it set going has not happened yet: {@link quiesce}. */
  step(): boolean
  /** Moves on by `ms`; runs each timer at its own time, in order, and lets what it set going happen before the next. */
  advance(ms: number): Promise<void>
  /** Moves on by `ms` at once, as a machine does that was asleep: the timers due in between run late, at the new time. */
  jump(ms: number): void
  /** Somebody sets the clock forward by `ms`, or back: timers run as they would have, and only `now` is another. */
  set(ms: number): void
}

interface Timer {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** Lets everything happen that waits for no time: promises, ticks and immediates. */
export async function quiesce(): Promise<void> {
  await setImmediate()
  await setImmediate()
}

/** Moves time on until `work` is over; a work that waits for something else than time throws. */
export async function runUntil<T>(clock: SimulatedClock, work: Promise<T>): Promise<T> {
  let over = false
  const end = () => {
    over = true
  }
  work.then(end, end)
  await quiesce()
  while (!over && clock.step()) await quiesce()
  if (!over) throw new Error("nothing is left to wait for, and the work is not over")
  return work
}

/**
 * A clock that begins at `startMs`. Timers of one time run in the order in which they were set. `after` takes fractions
 * of a millisecond; `now` answers whole ones, and is counted by `meter`.
 */
export function createSimulatedClock(startMs = 0, meter?: WorkMeter): SimulatedClock {
  const timers = new Timers()
  let time = startMs
  let set = 0
  const step = (): boolean => {
    meter?.step()
    const timer = timers.pop()
    if (!timer) return false
    time = Math.max(time, timer.at)
    timer.run()
    return true
  }
  return {
    now() {
      meter?.ask()
      return Math.floor(time + set)
    },
    steady: () => time,
    after(ms, run) {
      return timers.push(time + Math.max(0, ms), run)
    },
    get waiting() {
      return timers.size
    },
    nextAt: () => timers.first && timers.first.at + set,
    step,
    async advance(ms) {
      const end = time + ms
      await quiesce()
      for (let at = timers.first?.at; at !== undefined && at <= end; at = timers.first?.at) {
        step()
        await quiesce()
      }
      time = Math.max(time, end)
    },
    jump(ms) {
      time += ms
    },
    set(ms) {
      set += ms
    },
  }
}

/** A view of `clock` whose timers never run again once it is stopped: the clock of a process that may die. */
export function mortalClock(clock: Clock): { readonly clock: Clock; stop(): void } {
  const cancels = new Set<() => void>()
  let stopped = false
  return {
    clock: {
      now: () => clock.now(),
      steady: () => clock.steady(),
      after(ms, run) {
        if (stopped) return () => {}
        const cancel = clock.after(ms, () => {
          cancels.delete(cancel)
          run()
        })
        cancels.add(cancel)
        return () => {
          cancels.delete(cancel)
          cancel()
        }
      },
    },
    stop() {
      stopped = true
      for (const cancel of cancels) cancel()
      cancels.clear()
    },
  }
}

/** A binary heap by time, then by order of arrival. A cancelled timer stays until it comes to the top. */
class Timers {
  readonly #heap: Timer[] = []
  #orders = 0
  #live = 0

  /** Timers that were neither run nor cancelled. */
  get size(): number {
    return this.#live
  }

  get first(): Timer | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.run === undefined) this.#removeTop()
    return this.#heap[0]
  }

  /** Answers what cancels it. */
  push(at: number, run: () => void): () => void {
    const timer: Timer = { at, order: this.#orders++, run }
    this.#heap.push(timer)
    this.#up(this.#heap.length - 1)
    this.#live++
    return () => {
      if (timer.run === undefined) return
      timer.run = undefined
      this.#live--
    }
  }

  /** Takes the first timer out. */
  pop(): { readonly at: number; readonly run: () => void } | undefined {
    const timer = this.first
    if (!timer) return undefined
    this.#removeTop()
    const { at, run } = timer
    timer.run = undefined
    this.#live--
    return { at, run: run! }
  }

  #removeTop(): void {
    const last = this.#heap.pop()!
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#down()
  }

  #up(start: number): void {
    const heap = this.#heap
    const timer = heap[start]!
    let index = start
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  #down(): void {
    const heap = this.#heap
    const timer = heap[0]!
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, timer)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = timer
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
