import { asideKey, replayKeys } from "./catalog-keys.ts"
import type { Cursor } from "./cursor.ts"
import type { Engine } from "./engine.ts"
import type { Trigger } from "./resources.ts"

/** What the router keeps of a trigger in the catalog, under `routingKeys`. */
export interface RoutingRecord {
  /** Which trigger of this id: one that was deleted and made anew is another one. */
  readonly of: string
  /** What partition of the log its topic is in; absent: the first. */
  readonly partition?: number
  /** Set while the main reader serves the trigger: for the events after this cursor. */
  readonly attachedAfter?: Cursor
}

/** The name of a partition's main reader. */
export function mainReaderOf(partition: number): string {
  return partition === 0 ? "router" : `router-${partition}`
}

/** The tenants that a partition's main reader passes over, in the catalog under `asideKey`. */
export interface AsideRecord {
  /** Each at the number of its reader; null: nobody is. */
  readonly tenants: readonly (string | null)[]
  /** Who has written it: the holding of the partition's routing, 0 where there is one process. */
  readonly epoch: number
}

/** The name of a reader that serves one tenant while the partition's main reader passes over it. */
export function asideReaderOf(partition: number, number: number): string {
  return `${mainReaderOf(partition)}/aside-${number}`
}

/** Who reads a tenant's events for attached triggers, and what tells how far that has come. */
export interface TenantPlace {
  readonly engine: Pick<Engine, "catalog" | "queue">
  readonly partition: number
  readonly tenant: string
}

/**
 * Up to where the events of a tenant are routed for attached triggers; undefined: from nowhere on. `isAside`: not by the main
 * reader. While the router runs it may have come further.
 */
export async function placeOfTenant({
  engine,
  partition,
  tenant,
}: TenantPlace): Promise<{ readonly cursor: Cursor | undefined; readonly isAside: boolean }> {
  const { catalog, queue } = engine
  // In this order: whoever is put aside in between is so behind this place.
  const main = await queue.position(mainReaderOf(partition))
  const record = (await catalog.get<AsideRecord>(asideKey(partition)))?.value
  const number = record?.tenants.indexOf(tenant) ?? -1
  if (number < 0) return { cursor: main, isAside: false }
  return { cursor: (await queue.position(asideReaderOf(partition, number))) ?? main, isAside: true }
}

/** The name of a trigger's own reader. */
export function readerOf(path: string, incarnation = ""): string {
  return incarnation === "" ? `trigger/${path}` : `trigger/${path}/${incarnation}`
}

/** The name under which the queue keeps how far a replay is; `key` is its key in the catalog. */
export function replayReaderOf(key: string): string {
  return `replay:${replayKeys.pathIn(key)}`
}

/** A trigger's own place among triggers. */
export function pathOf(trigger: { readonly tenant: string; readonly id: string }): string {
  return `${trigger.tenant}/${trigger.id}`
}

/** By what a trigger's events are judged, as it was from one event on. */
export interface RoutedVersion
  extends Pick<Trigger, "incarnation" | "topic" | "filters" | "destination" | "updatedAt"> {
  /** Of the events after this cursor. */
  readonly after: Cursor
  /** Of none after this one: the trigger was deleted when it had come here. */
  readonly until?: Cursor
}

/** How a trigger was, for as long as is kept, in the catalog under `routedAsKeys`. */
export interface RoutedAs {
  /** Which trigger of this id the last version is of. */
  readonly of: string
  /** What partition of the log all its cursors are in; absent: the first. */
  readonly partition?: number
  /** Oldest first; several triggers of one id, one after the other, are all in it. */
  readonly versions: readonly RoutedVersion[]
  /** Whether older versions were dropped. */
  readonly shortened?: true
  /** Unix milliseconds; set while there is no trigger of this id. */
  readonly removedAt?: number
}

/**
 * The version that judges the event at `cursor`; undefined where the trigger was not there for it, or that is not kept any
 * more. All cursors are of one partition, which `compare` is for.
 */
export function versionFor(
  versions: readonly RoutedVersion[],
  cursor: Cursor,
  compare: (a: Cursor, b: Cursor) => number,
): RoutedVersion | undefined {
  // A version with an end is the last of its trigger: where that was over, so were those before it.
  let over = false
  for (const version of versions.toReversed()) {
    if (version.until !== undefined) over = compare(cursor, version.until) > 0
    if (!over && compare(cursor, version.after) > 0) return version
  }
  return undefined
}
