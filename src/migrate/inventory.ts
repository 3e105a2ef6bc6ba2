import { attemptsTopic, deadLettersTopic } from "../core/address.ts"
import type { Catalog, Item } from "../core/catalog.ts"
import { migrationKey, partsOfKey, topicKeys } from "../core/catalog-keys.ts"
import { itemsUnder } from "../core/catalog-scan.ts"
import { delayedTopic } from "../core/delayed.ts"
import type { Engine } from "../core/engine.ts"

/** Catalog items of one kind: the first part of their keys. */
export interface CatalogCount {
  readonly kind: string
  readonly items: number
}

/** What a topic holds. */
export interface TopicCount {
  readonly tenant: string
  readonly topic: string
  readonly events: number
  readonly bytes: number
  /** Unix milliseconds. */
  readonly oldestAt?: number
  readonly newestAt?: number
}

/** What an engine holds that a migration would copy. */
export interface Inventory {
  readonly topics: readonly TopicCount[]
  readonly catalog: readonly CatalogCount[]
  readonly openDeliveries: number
  readonly deadLetters: number
}

/** Everything that is moved, in key order. */
export async function* catalogItems(catalog: Catalog): AsyncIterable<Item<unknown>> {
  for await (const item of itemsUnder(catalog, "")) if (item.key !== migrationKey) yield item
}

/** Counts what is there, by indexes; only the queue is read through. */
export async function takeInventory({ log, catalog, queue }: Engine): Promise<Inventory> {
  const kinds = new Map<string, number>()
  const named = new Map<string, { readonly tenant: string; readonly topic: string }>()
  for await (const { key } of catalogItems(catalog)) {
    const { kind, tenant, id } = partsOfKey(key)
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    const topics = [attemptsTopic, deadLettersTopic, delayedTopic, ...(topicKeys.has(key) ? [id] : [])]
    for (const topic of topics) named.set(`${tenant}/${topic}`, { tenant, topic })
  }
  const topics: TopicCount[] = []
  for (const address of named.values()) {
    const stats = await log.stats(address)
    if (stats.events > 0) topics.push({ ...address, ...stats })
  }
  let openDeliveries = 0
  let deadLetters = 0
  for await (const items of queue.carried()) {
    const dead = items.filter(({ kind }) => kind === "dead").length
    deadLetters += dead
    openDeliveries += items.length - dead
  }
  const catalogCounts = [...kinds].map(([kind, items]) => ({ kind, items }))
  return { topics, catalog: catalogCounts, openDeliveries, deadLetters }
}

/** Whether anything at all is stored there, but the mark of a migration. */
export async function isEmpty({ log, catalog, queue }: Engine): Promise<boolean> {
  for await (const _ of catalogItems(catalog)) return false
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { events } of log.read({ partition })) if (events.length > 0) return false
  }
  for await (const items of queue.carried()) if (items.length > 0) return false
  return true
}
