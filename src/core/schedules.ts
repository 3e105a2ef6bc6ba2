import type { Labels, Pause } from "./resources.ts"

/** When a schedule runs. Exactly one of `cron` and `intervalMs` is there. Times are Unix milliseconds. */
export interface Timing {
  /** Five fields, or six with seconds first, read in `timeZone`. */
  readonly cron?: string
  /** As the IANA database has it. */
  readonly timeZone: string
  readonly intervalMs?: number
  /** What intervals are counted from. */
  readonly anchor: number
  /** No run before this, and none after that. */
  readonly start?: number
  readonly end?: number
  /** What is done in an hour that comes twice, because clocks are set back. */
  readonly twice: Twice
  /** What is done about a time that does not come, because clocks are set forward. */
  readonly absent: Absent
}

export type Twice = (typeof twices)[number]
export type Absent = (typeof absents)[number]
export type Missed = (typeof misseds)[number]

export const twices = ["first", "last", "both"] as const
export const absents = ["moved", "skipped"] as const
export const misseds = ["skip", "once", "all"] as const

/** Missed runs that are made up for at most; the newest ones. */
export const missedMax = 1_000

/** Schedules of one tenant at most. */
export const schedulesMax = 10_000

/** What each event of a schedule has. */
export interface EventTemplate {
  readonly type: string
  readonly source?: string
  readonly subject?: string
  /** Any JSON value; a text where `dataContentType` is no JSON. */
  readonly data?: unknown
  readonly dataContentType?: string
  readonly extensions?: Readonly<Record<string, string | number | boolean>>
}

/** Publishes an event whenever it is time. */
export interface Schedule extends Timing {
  readonly id: string
  readonly tenant: string
  /** Tells it from other schedules that had its id before, or will. */
  readonly incarnation: string
  readonly description?: string
  readonly labels: Labels
  /** A topic, or one key of it: `orders`, `orders:123`. */
  readonly topic: string
  readonly event: EventTemplate
  /** What becomes of runs for which nobody was there. */
  readonly missed: Missed
  /** Its runs are those after this: when it was made, its timing was changed, or it was resumed. */
  readonly since: number
  readonly paused?: Pause
  readonly createdAt: number
  readonly updatedAt: number
}

/** How far a schedule has come. */
export interface ScheduleProgress {
  readonly incarnation: string
  /** As the schedule had it: what was reached under another timing is no progress of this one. */
  readonly since: number
  /** Its last run, published or passed over; undefined before the first one. */
  readonly passed?: number
  /** The last run that was published. */
  readonly tick?: number
  /** The run after that: it may be published too, whatever the clock shows by now. */
  readonly next?: number
  /** Why the next one is not. */
  readonly failure?: ScheduleFailure
}

/** Why a run could not be published; it is tried again. */
export interface ScheduleFailure {
  readonly at: number
  readonly detail: string
}
