import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type DamageEvent, eventOf } from "./workload.ts"

/** The states of a hub's folder that trials begin from. */
export const variants = ["clean", "killed", "log-first", "state-first"] as const
/**
 * clean: after a stop; killed: after kill -9 under load; log-first and state-first: copied under load, the one folder
 * before the other.
 */
export type Variant = (typeof variants)[number]

/** A folder as it was at one time, and what was known then. Times are milliseconds of performance.now(). */
export interface Snapshot {
  /** What was stored before this has to be there. */
  readonly logFrom: number
  /** What was sent after this cannot be there. */
  readonly logUntil: number
  /** What was done well before this was noted as done. */
  readonly doneFrom: number
  /** What was done after this cannot have been noted. */
  readonly doneUntil: number
  /** The resources as the API showed them before. */
  readonly resources: Resources
  /** Ids of the dead letters there were before. */
  readonly dead: readonly string[]
}

export type Resources = Readonly<Record<string, readonly { readonly id: string; readonly [member: string]: unknown }[]>>

/** Everything that is known of a hub from outside. */
export interface Oracle {
  /** The receiver's. */
  readonly port: number
  readonly key: string
  /** Of the destinations, that their deliveries are signed with. */
  readonly secrets: Readonly<Record<string, string>>
  readonly sent: readonly { readonly number: number; readonly at: number }[]
  readonly acknowledged: readonly Acknowledged[]
  /** What the receiver answered 2xx. */
  readonly taken: readonly { readonly trigger: string; readonly id: string; readonly at: number }[]
  /** First attempts that failed of deliveries that then wait for hours. */
  readonly waiting: readonly { readonly id: string; readonly at: number }[]
  /** The hub's own events, as far as they were read: attempts and dead letters. */
  readonly own: readonly { readonly cursor: string; readonly delivery: string }[]
  readonly snapshots: Readonly<Record<Variant, Snapshot>>
}

export interface Acknowledged {
  readonly number: number
  readonly cursor: string
  readonly at: number
}

const fileName = "oracle.json"

export async function writeOracle(folder: string, oracle: Oracle): Promise<void> {
  await writeFile(join(folder, fileName), JSON.stringify(oracle))
}

/** Undefined where there is none. */
export async function readOracle(folder: string): Promise<Oracle | undefined> {
  const text = await readFile(join(folder, fileName), "utf8").catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as Oracle)
}

/** What a snapshot has to hold, and what it may hold. */
export interface Promised {
  /** By cursor, in its order. */
  readonly events: ReadonlyMap<string, DamageEvent>
  /** Numbers of all events that can be there. */
  readonly possible: ReadonlySet<number>
  /** Deliveries that are over, `<trigger> <id>`. */
  readonly done: ReadonlySet<string>
  /** Deliveries that may be over, and may come again. */
  readonly unsure: ReadonlySet<string>
  readonly dead: ReadonlySet<string>
  /** The last cursor of which the state surely knew. */
  readonly stateEnd: string
  /** Ids of events whose delivery waits for hours. */
  readonly waiting: ReadonlySet<string>
  readonly resources: Resources
}

/** From an answer to the note of it that a crash does not lose. */
const noteMs = 1_000

/** From an answer to the state's knowing of it. */
const stateMs = 250

export function promisedBy(oracle: Oracle, variant: Variant): Promised {
  const { logFrom, logUntil, doneFrom, doneUntil, dead, resources } = oracle.snapshots[variant]
  const stored = oracle.acknowledged.filter(({ at }) => at < logFrom)
  const taken = oracle.taken.filter(({ at }) => at < doneUntil)
  const name = ({ trigger, id }: { readonly trigger: string; readonly id: string }) => `${trigger} ${id}`
  const isDone = ({ at }: { readonly at: number }) => at < doneFrom - noteMs
  return {
    events: new Map(
      stored.sort((a, b) => (a.cursor < b.cursor ? -1 : 1)).map(({ number, cursor }) => [cursor, eventOf(number)]),
    ),
    possible: new Set(oracle.sent.filter(({ at }) => at < logUntil).map(({ number }) => number)),
    done: new Set(taken.filter(isDone).map(name)),
    unsure: new Set(taken.filter((one) => !isDone(one)).map(name)),
    dead: new Set(dead),
    stateEnd: lastOf(stored.filter(({ at }) => at < doneFrom - stateMs).map(({ cursor }) => cursor)),
    waiting: new Set(oracle.waiting.filter(isDone).map(({ id }) => id)),
    resources,
  }
}

/** The last of them along the log. */
export function lastOf(cursors: readonly string[]): string {
  return cursors.toSorted().at(-1) ?? ""
}
