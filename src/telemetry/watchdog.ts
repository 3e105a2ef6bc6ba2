import { extname } from "node:path"
import { isMainThread, Worker } from "node:worker_threads"
import type { LogOptions } from "./log.ts"
import { blockedMs, checkMs, type WatchdogData } from "./watchdog-data.ts"

/** What the watchdog counts, by name, with what each means. */
export const loopFigures = {
  event_loop_blocks_total: "Times that the event loop was blocked for a second or more.",
  event_loop_blocked_seconds_total: "For how long it was blocked then.",
} as const

/** Notes, with its stack, whatever keeps the event loop for more than a second. */
export interface Watchdog {
  /** How often the loop was blocked, and for how long in all. */
  figures(): Readonly<Record<keyof typeof loopFigures, number>>
  stop(): Promise<void>
}

/**
 * Watches this process's main thread, from a thread of its own: four times a second each of them looks at one number. Does
 * nothing where it is not called from the main thread.
 */
export function startWatchdog(log: LogOptions): Watchdog {
  const beats = new Int32Array(new SharedArrayBuffer(8))
  let [blockedTimes, blocked, beatAt] = [0, 0, performance.now()]
  const timer = setInterval(() => {
    Atomics.add(beats, 0, 1)
    const now = performance.now()
    const times = Atomics.load(beats, 1)
    if (times > blockedTimes) blocked += Math.max(blockedMs, now - beatAt - checkMs)
    blockedTimes = times
    beatAt = now
  }, checkMs).unref()
  const thread = isMainThread ? startThread(beats, log) : undefined
  return {
    figures: () => ({
      event_loop_blocks_total: Atomics.load(beats, 1),
      event_loop_blocked_seconds_total: blocked / 1_000,
    }),
    async stop() {
      clearInterval(timer)
      await thread?.terminate()
    },
  }
}

function startThread(beats: Int32Array, { level, format, isTerminal = process.stdout.isTTY }: LogOptions): Worker {
  const workerData: WatchdogData = { beats, log: { level, format, isTerminal: isTerminal === true } }
  const file = new URL(`./watchdog-thread${extname(import.meta.url)}`, import.meta.url)
  const thread = new Worker(file, {
    workerData,
    name: "watchdog",
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  })
  // The hub works without it.
  thread.on("error", () => {})
  thread.unref()
  return thread
}
