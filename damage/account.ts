import type { Letter, Stored } from "./client.ts"
import type { Promised, Resources } from "./oracle.ts"
import type { Arrival } from "./receiver.ts"
import type { Read } from "./workload.ts"

/** What was damaged, as bytes tell. */
export interface Damage {
  /** A line for each. */
  readonly what: readonly string[]
  /** Of known records, by cursor: those whose bytes are not what they were. */
  readonly touched: ReadonlySet<string>
  readonly logDiffers: boolean
  readonly stateDiffers: boolean
  /** All that was taken has to be named. */
  readonly isTold: boolean
}

/** Stretches of the log, by cursor, both ends included. */
export interface Named {
  readonly from: string
  readonly to: string
}

/** An event published in the trial. */
export interface Fresh extends Stored {
  readonly number: number
}

/** What a hub showed that had started on a damaged folder. */
export interface Shown {
  readonly health: readonly string[]
  readonly resources: Resources
  /** By topic, as it was before anything was published. */
  readonly read: ReadonlyMap<string, readonly Read[]>
  readonly fresh: readonly Fresh[]
  /** Numbers of events that were published before it crashed, and may be there or not. */
  readonly earlier: ReadonlySet<number>
  /** Events of before, published again. */
  readonly again: readonly Fresh[]
  /** By topic, at the end. */
  readonly readAtEnd: ReadonlyMap<string, readonly Read[]>
  readonly arrivals: readonly Arrival[]
  readonly letters: readonly Letter[]
  /** The states of deliveries that wait for hours, by delivery id. */
  readonly later: ReadonlyMap<string, string>
  /** Events that were asked for alone, by cursor; undefined where the hub has none there. */
  readonly alone: ReadonlyMap<string, Read | undefined>
  /** What it showed at another start, after all of this. */
  readonly second?: SecondStart
  /** Its exit code, or the signal that ended it, once it was told to stop. */
  readonly end: number | NodeJS.Signals | undefined
}

/** What a hub showed that had been stopped and started again. */
export interface SecondStart {
  readonly health: readonly string[]
  readonly resources: Resources
  readonly read: ReadonlyMap<string, readonly Read[]>
  readonly arrivals: readonly Arrival[]
}

/** All that is known after a trial. */
export interface Account {
  readonly promised: Promised
  /** The hub's own events of before, by the delivery that they tell of. */
  readonly own: ReadonlyMap<string, readonly string[]>
  /** Whether the hub was stopped before the damage, and not killed or copied while it ran. */
  readonly clean: boolean
  readonly damage: Damage
  readonly shown: Shown
}

/** The stretches that health lines name. */
export function namedIn(health: readonly string[]): readonly Named[] {
  return health.flatMap((line) => [...byCursors(line), ...(line.includes("cursors") ? [] : byBytes(line))])
}

function byCursors(line: string): readonly Named[] {
  return [...line.matchAll(/cursors? ([0-9a-z]{11}) to ([0-9a-z]{11})/g)].map(([, from, to]) => ({
    from: from!,
    to: to!,
  }))
}

function byBytes(line: string): readonly Named[] {
  return [...line.matchAll(/([0-9a-z]{11})\.segment, bytes (\d+) to (\d+)/g)].map(([, base, from, to]) => ({
    from: cursorAt(Number.parseInt(base!, 36) + Number(from)),
    to: cursorAt(Number.parseInt(base!, 36) + Number(to)),
  }))
}

export function cursorAt(position: number): string {
  return position.toString(36).padStart(11, "0")
}

export function positionOf(cursor: string): number {
  return Number.parseInt(cursor, 36)
}
