import { setImmediate } from "node:timers/promises"
import type { Clock } from "../core/clock.ts"

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
 * of a millisecond; `now` answers whole ones.
 */
export function createSimulatedClock(startMs = 0): SimulatedClock {
  const timers = createTimers()
  let time = startMs
  const step = (): boolean => {
    const timer = timers.pop()
    if (!timer) return false
    time = Math.max(time, timer.at)
    timer.run?.()
    return true
  }
  return {
    now: () => Math.floor(time),
    after(ms, run) {
      return timers.push(time + Math.max(0, ms), run)
    },
    get waiting() {
      return timers.size()
    },
    nextAt: () => timers.first()?.at,
    step,
    async advance(ms) {
      const end = time + ms
      await quiesce()
      for (let at = timers.first()?.at; at !== undefined && at <= end; at = timers.first()?.at) {
        step()
        await quiesce()
      }
      time = Math.max(time, end)
    },
    jump(ms) {
      time += ms
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
function createTimers() {
  const heap: Timer[] = []
  let orders = 0
  let live = 0
  const before = (a: Timer, b: Timer) => a.at < b.at || (a.at === b.at && a.order < b.order)

  const up = (start: number) => {
    const timer = heap[start]!
    let index = start
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }
  const down = () => {
    const timer = heap[0]!
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, timer)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = timer
  }
  const removeTop = () => {
    const last = heap.pop()!
    if (heap.length === 0) return
    heap[0] = last
    down()
  }
  const first = (): Timer | undefined => {
    while (heap.length > 0 && heap[0]!.run === undefined) removeTop()
    return heap[0]
  }

  return {
    size: () => live,
    first,
    push(at: number, run: () => void): () => void {
      const timer: Timer = { at, order: orders++, run }
      heap.push(timer)
      up(heap.length - 1)
      live++
      return () => {
        if (timer.run === undefined) return
        timer.run = undefined
        live--
      }
    },
    /** Takes the first timer out; its `run` is still there. */
    pop(): { readonly at: number; readonly run: (() => void) | undefined } | undefined {
      const timer = first()
      if (!timer) return undefined
      removeTop()
      const { at, run } = timer
      timer.run = undefined
      live--
      return { at, run }
    },
  }
}
