import { createHash } from "node:crypto"
import type { Catalog, Item } from "../core/catalog.ts"
import { routedAsKeys } from "../core/catalog-keys.ts"
import { changeAgainst } from "../core/conflicts.ts"
import type { Cursor } from "../core/cursor.ts"
import { ConflictError } from "../core/errors.ts"
import type { Trigger } from "../core/resources.ts"
import type { RoutedAs, RoutedVersion } from "../core/routing.ts"
import { persist, type RetryContext } from "./persist.ts"
import { markOf } from "./record.ts"

/** Versions kept of one trigger, and what they may take together as JSON: the oldest go first. */
const versionsMax = 32
const bytesMax = 256 * 1024
/** How long what is known of a deleted trigger is kept, and of how many of one tenant. */
const removedAgeMaxMs = 7 * 86_400_000
const removedMax = 1_000
const pageItems = 1_000

export interface HistoriesOptions {
  readonly catalog: Catalog
  readonly retrying: RetryContext
  /** Histories of triggers on other partitions are another router's. */
  readonly partition: number
}

/** Which trigger: by tenant and id. */
type Name = Pick<Trigger, "tenant" | "id">

/**
 * How each trigger was when it judged which events. A version is kept before it judges anything; what judged nothing is
 * replaced. In memory there is a hash for each trigger, not its filters.
 */
export class Histories {
  readonly #options: HistoriesOptions
  /** The last version of each trigger that is there, by its key. */
  readonly #open = new Map<string, string>()
  /** Of deleted triggers, by tenant: keys and when each was removed, the first to be removed first. */
  readonly #removed = new Map<string, Map<string, number>>()

  constructor(options: HistoriesOptions) {
    this.#options = options
  }

  /** Reads what is kept. */
  async load(): Promise<void> {
    const { catalog, partition } = this.#options
    const removed: [key: string, at: number][] = []
    // Ends: with the items: each page begins behind the last one.
    for (let after: string | undefined; ; ) {
      const page: readonly Item<RoutedAs>[] = await catalog.list(routedAsKeys.prefix, {
        limit: pageItems,
        ...(after !== undefined && { after }),
      })
      for (const { key, value } of page) {
        if ((value.partition ?? 0) !== partition) continue
        const last = value.versions.at(-1)!
        if (value.removedAt === undefined) this.#open.set(key, hashOf(value.of, last))
        else removed.push([key, value.removedAt])
      }
      after = page.at(-1)?.key
      if (after === undefined) break
    }
    for (const [key, at] of removed.sort((a, b) => a[1] - b[1])) this.#removedOf(key).set(key, at)
  }

  /** Whether the trigger's last version is what the trigger is now. */
  has(trigger: Trigger): boolean {
    return this.#open.get(routedAsKeys.of(trigger)) === hashOf(markOf(trigger), trigger)
  }

  /** Durable when it resolves: the events after `after` are judged by the trigger as it is now. */
  async keep(trigger: Trigger, after: Cursor): Promise<void> {
    const { incarnation, topic, filters, destination, updatedAt } = trigger
    const key = routedAsKeys.of(trigger)
    const of = markOf(trigger)
    const version = { after, ...(incarnation && { incarnation }), topic, filters, destination, updatedAt }
    await this.#write("keeping how a trigger is", key, (before) => {
      const ours = before !== undefined && this.#isOurs(before) ? before : { of, versions: [] }
      return shortened(ours, of, version)
    })
    this.#removedOf(key).delete(key)
    this.#open.set(key, hashOf(of, version))
  }

  /** Those whose triggers are there, as far as is known here. */
  open(): readonly Name[] {
    return Array.from(this.#open.keys(), (key) => {
      const [, tenant, id] = key.split("/") as [string, string, string]
      return { tenant, id }
    })
  }

  /** The trigger was deleted; `until` is the last event that it has judged, undefined: none. Does nothing where it is known. */
  async end(trigger: Name, until: Cursor | undefined): Promise<void> {
    const key = routedAsKeys.of(trigger)
    if (!this.#open.has(key)) return
    const removedAt = this.#options.retrying.clock.now()
    await this.#write("keeping that a trigger is gone", key, (before) => {
      // A trigger of this id on another partition has taken its place.
      if (before === undefined || !this.#isOurs(before)) return undefined
      const { versions, ...rest } = before
      const last = versions.at(-1)!
      return { ...rest, removedAt, versions: [...versions.slice(0, -1), { ...last, until: until ?? last.after }] }
    })
    this.#open.delete(key)
    this.#removedOf(key).set(key, removedAt)
    await this.prune(trigger.tenant)
  }

  /** Forgets of deleted triggers what is too old or too much; of one tenant, or all. */
  async prune(tenant?: string): Promise<void> {
    const { retrying } = this.#options
    for (const [of, removed] of this.#removed) {
      if (tenant !== undefined && of !== tenant) continue
      for (const [key, at] of removed) {
        if (removed.size <= removedMax && retrying.clock.now() - at < removedAgeMaxMs) break
        await persist(retrying, "forgetting a deleted trigger", () => this.#forget(key))
        removed.delete(key)
      }
      if (removed.size === 0) this.#removed.delete(of)
    }
  }

  async #forget(key: string): Promise<void> {
    const { catalog } = this.#options
    const item = await catalog.get<RoutedAs>(key)
    if (item?.value.removedAt === undefined || !this.#isOurs(item.value)) return
    try {
      await catalog.delete(key, item.revision)
    } catch (error) {
      // A trigger of this id was made on another partition meanwhile: it is its history now.
      if (!(error instanceof ConflictError)) throw error
    }
  }

  /** Writes what `next` makes of what is there; nothing where that is undefined. */
  async #write(what: string, key: string, next: (before: RoutedAs | undefined) => RoutedAs | undefined): Promise<void> {
    const { catalog, retrying, partition } = this.#options
    const write = async () => {
      const before = await catalog.get<RoutedAs>(key)
      const after = next(before?.value)
      if (after === undefined) return
      const value = partition === 0 ? after : { ...after, partition }
      await catalog.put(key, value, before?.revision ?? 0)
    }
    await persist(retrying, what, () => changeAgainst(retrying.clock, key, write, retrying.stop))
  }

  #isOurs({ partition = 0 }: RoutedAs): boolean {
    return partition === this.#options.partition
  }

  #removedOf(key: string): Map<string, number> {
    const tenant = key.split("/")[1]!
    let removed = this.#removed.get(tenant)
    if (removed === undefined) {
      removed = new Map()
      this.#removed.set(tenant, removed)
    }
    return removed
  }
}

/** With one version more, and as many of the older ones as may be kept. */
function shortened({ removedAt: _, ...before }: RoutedAs, of: string, version: RoutedVersion): RoutedAs {
  const versions = [...beforeNext(before, of, version.after), version]
  let from = Math.max(0, versions.length - versionsMax)
  let bytes = 0
  for (let i = versions.length - 1; i >= from; i--) {
    bytes += JSON.stringify(versions[i]).length
    if (bytes > bytesMax && i < versions.length - 1) from = i + 1
  }
  return { ...before, of, versions: versions.slice(from), ...(from > 0 && { shortened: true }) }
}

/** Without a last version that has judged nothing. One of another trigger that nobody has ended never left its start. */
function beforeNext({ of: ofLast, versions }: RoutedAs, of: string, after: Cursor): readonly RoutedVersion[] {
  const last = versions.at(-1)
  if (last === undefined || last.until !== undefined) return versions
  const older = versions.slice(0, -1)
  if (of !== ofLast) return [...older, { ...last, until: last.after }]
  return last.after === after ? older : versions
}

function hashOf(
  of: string,
  { topic, filters, destination }: Pick<Trigger, "topic" | "filters" | "destination">,
): string {
  return createHash("sha1")
    .update(JSON.stringify([of, topic, filters, destination]))
    .digest("base64")
}
