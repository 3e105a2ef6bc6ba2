import type { Catalog, Change } from "../core/catalog.ts"
import { partsOfKey, topicKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { ClosedError, ConflictError } from "../core/errors.ts"
import { newTopic, type Topic } from "../core/resources.ts"

/** The catalog's topics, in memory. */
export interface Topics {
  get(tenant: string, id: string): Topic | undefined
  /** The topic, made with the defaults where there is none. Throws what the catalog throws, and ClosedError. */
  ensure(tenant: string, id: string): Promise<Topic>
  /** Ends when the view does; rejects when the catalog could not be watched, for the view is stale then. */
  readonly watching: Promise<void>
}

export interface TopicsOptions {
  readonly catalog: Catalog
  readonly clock: Clock
  /** Of topics that are made by their first publish. */
  readonly dedupeWindowMs: number
  readonly stop: AbortSignal
}

/** Opens the view; resolves when it has every topic that is there now. */
export async function openTopics(options: TopicsOptions): Promise<Topics> {
  const view = new TopicsView(options)
  await Promise.race([view.current, view.watching])
  return view
}

class TopicsView implements Topics {
  readonly #options: TopicsOptions
  /** By tenant and id. */
  readonly #topics = new Map<string, Map<string, Topic>>()
  /** First publishes that wait for their topic, by key. */
  readonly #making = new Map<string, PromiseWithResolvers<Topic>>()
  readonly #current = Promise.withResolvers<void>()
  #ended = false
  readonly watching: Promise<void>

  constructor(options: TopicsOptions) {
    this.#options = options
    this.watching = this.#watch()
  }

  get current(): Promise<void> {
    return this.#current.promise
  }

  get(tenant: string, id: string): Topic | undefined {
    return this.#topics.get(tenant)?.get(id)
  }

  ensure(tenant: string, id: string): Promise<Topic> {
    const key = topicKeys.of({ tenant, id })
    const known = this.get(tenant, id)
    if (known !== undefined) return Promise.resolve(known)
    const others = this.#making.get(key)
    if (others !== undefined) return others.promise
    if (this.#ended) return Promise.reject(new ClosedError())
    const making = Promise.withResolvers<Topic>()
    this.#making.set(key, making)
    this.#make(key, tenant, id)
    return making.promise
  }

  /** The watch says when the topic is there: it alone knows the order of changes. */
  #make(key: string, tenant: string, id: string): void {
    const { catalog, clock, dedupeWindowMs } = this.#options
    catalog.put(key, newTopic(tenant, id, clock.now(), dedupeWindowMs), 0).catch((error: unknown) => {
      // Someone else was faster: the watch brings theirs.
      if (error instanceof ConflictError) return
      this.#making.get(key)?.reject(error)
      this.#making.delete(key)
    })
  }

  async #watch(): Promise<void> {
    const { catalog, stop } = this.#options
    try {
      for await (const change of catalog.watch<Topic>(topicKeys.prefix, stop)) this.#apply(change)
    } finally {
      this.#ended = true
      for (const making of this.#making.values()) making.reject(new ClosedError())
      this.#making.clear()
    }
  }

  #apply(change: Change<Topic>): void {
    if (change.kind === "put") this.#put(change.item.key, change.item.value)
    else if (change.kind === "delete") this.#delete(change.key)
    else this.#current.resolve()
  }

  #put(key: string, topic: Topic): void {
    const topics = this.#topics.get(topic.tenant) ?? new Map<string, Topic>()
    topics.set(topic.id, topic)
    this.#topics.set(topic.tenant, topics)
    this.#making.get(key)?.resolve(topic)
    this.#making.delete(key)
  }

  #delete(key: string): void {
    const { tenant, id } = partsOfKey(key)
    const topics = this.#topics.get(tenant)
    topics?.delete(id)
    if (topics?.size === 0) this.#topics.delete(tenant)
    // Made and deleted again before the watch came to it: of several changes it may bring the last only.
    if (this.#making.has(key)) this.#make(key, tenant, id)
  }
}
