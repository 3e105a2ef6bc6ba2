import type { LogOptions } from "./log.ts"

/** How often the main thread says that it lives, and how often that is looked at. */
export const checkMs = 250
/** A thread that has not said so for this long is blocked. */
export const blockedMs = 1_000

/** What the watchdog's thread is given. */
export interface WatchdogData {
  /** How often the main thread has beaten, and how often it was found blocked. */
  readonly beats: Int32Array
  readonly log: Required<Pick<LogOptions, "level" | "format" | "isTerminal">>
}
