import type { Catalog, Item } from "../core/catalog.ts"
import {
  accessKeys,
  asideKeys,
  type CatalogKeys,
  deletedTopicKeys,
  destinationDeletionKeys,
  destinationKeys,
  handshakeKeys,
  identityKeys,
  natsAccountKeys,
  partsOfKey,
  replayKeys,
  routedAsKeys,
  routingKeys,
  scheduleKeys,
  scheduleProgressKeys,
  subscriptionKeys,
  subscriptionPositionKeys,
  topicDeletionKeys,
  topicKeys,
  triggerKeys,
} from "../core/catalog-keys.ts"
import type { Engine } from "../core/engine.ts"
import type { Replay, Topic, Trigger } from "../core/resources.ts"
import type { RoutedAs, RoutingRecord } from "../core/routing.ts"
import type { Subscription, SubscriptionPosition } from "../core/subscriptions.ts"
import type { CursorMap } from "./cursor-map.ts"
import { catalogItems } from "./inventory.ts"
import { Routing } from "./routing.ts"
import { Translator } from "./translator.ts"

/** Kinds of catalog items that hold no place in the log. */
const placeless: readonly CatalogKeys[] = [
  topicKeys,
  deletedTopicKeys,
  topicDeletionKeys,
  destinationKeys,
  destinationDeletionKeys,
  handshakeKeys,
  identityKeys,
  natsAccountKeys,
  accessKeys,
  scheduleKeys,
  scheduleProgressKeys,
  replayKeys,
]

/** What reads the source, by `<tenant>/<id>`. */
interface Readers {
  readonly triggers: ReadonlyMap<string, Trigger>
  readonly subscriptions: ReadonlyMap<string, Subscription>
}

/** Kinds of those that do. */
const placed: readonly CatalogKeys[] = [
  triggerKeys,
  routingKeys,
  routedAsKeys,
  subscriptionKeys,
  subscriptionPositionKeys,
]

/** The source as it is to be in the target, item by item. Begins once all events are copied. */
export class Moving {
  readonly #catalog: Catalog
  readonly #target: Engine
  readonly #routing: Routing
  readonly #triggers: ReadonlyMap<string, Trigger>
  readonly #subscriptions: ReadonlyMap<string, Subscription>
  readonly translator: Translator

  private constructor(source: Engine, target: Engine, map: CursorMap, { triggers, subscriptions }: Readers) {
    this.#catalog = source.catalog
    this.#target = target
    this.#routing = new Routing(source, target.log, map)
    this.#triggers = triggers
    this.#subscriptions = subscriptions
    this.translator = new Translator(
      target.log,
      map,
      new Map([...triggers].map(([path, { topic }]) => [path, topic] as const)),
    )
  }

  static async of(source: Engine, target: Engine, map: CursorMap): Promise<Moving> {
    const triggers = new Map<string, Trigger>()
    const subscriptions = new Map<string, Subscription>()
    for await (const { key, value } of catalogItems(source.catalog)) {
      if (triggerKeys.has(key)) triggers.set(triggerKeys.pathIn(key), value as Trigger)
      if (subscriptionKeys.has(key)) subscriptions.set(subscriptionKeys.pathIn(key), value as Subscription)
    }
    return new Moving(source, target, map, { triggers, subscriptions })
  }

  /** The catalog; what begins the routing of a trigger comes last. */
  async *items(): AsyncIterable<Item<unknown>> {
    const begins = (key: string) => triggerKeys.has(key) || routingKeys.has(key)
    for await (const item of catalogItems(this.#catalog)) {
      if (!begins(item.key) && !asideKeys.has(item.key)) yield { ...item, value: this.#value(item) }
    }
    for await (const item of catalogItems(this.#catalog)) {
      if (routingKeys.has(item.key)) yield { ...item, value: await this.#record(item) }
    }
    for await (const item of catalogItems(this.#catalog)) {
      if (triggerKeys.has(item.key)) yield { ...item, value: this.#routing.reader(item.value as Trigger) }
    }
  }

  /** What people are to know of how the catalog was moved. */
  async notes(): Promise<readonly string[]> {
    const unknown = new Map<string, number>()
    const shortened: string[] = []
    for await (const { key, value } of catalogItems(this.#catalog)) {
      const { kind } = partsOfKey(key)
      const isKnown = [...placeless, ...placed, asideKeys].some((keys) => keys.has(key))
      if (!isKnown) unknown.set(kind, (unknown.get(kind) ?? 0) + 1)
      if (topicKeys.has(key) && (value as Topic).dedupeWindowMs > this.#windowMsMax) shortened.push((value as Topic).id)
    }
    const notes = [...unknown].map(
      ([kind, items]) =>
        `${items} ${kind}/ of the catalog ${items === 1 ? "is" : "are"} not known to this version: copied as they are`,
    )
    if (shortened.length > 0) {
      notes.push(
        `the dedupe window of ${shortened.slice(0, 5).join(", ")}${shortened.length > 5 ? ", …" : ""} is cut to what the target can keep`,
      )
    }
    return notes
  }

  /** How far readers are: main ones, and own ones of triggers. */
  async positions() {
    const positions = [...(await this.#routing.mains())]
    for await (const { key, value } of catalogItems(this.#catalog)) {
      if (!routingKeys.has(key)) continue
      const trigger = this.#triggers.get(routingKeys.pathIn(key))
      const own = trigger && (await this.#routing.own(value as RoutingRecord, trigger))
      if (own !== undefined) positions.push(own)
    }
    return positions
  }

  get #windowMsMax(): number {
    return this.#target.dedupeWindowMsMax ?? Number.POSITIVE_INFINITY
  }

  #value({ key, value }: Item<unknown>): unknown {
    if (topicKeys.has(key)) {
      const topic = value as Topic
      return { ...topic, dedupeWindowMs: Math.min(topic.dedupeWindowMs, this.#windowMsMax) }
    }
    if (replayKeys.has(key)) return moved(value as Replay)
    if (subscriptionKeys.has(key)) return this.#routing.reader(value as Subscription)
    if (subscriptionPositionKeys.has(key)) {
      const subscription = this.#subscriptions.get(subscriptionPositionKeys.pathIn(key))
      const position = value as SubscriptionPosition
      return subscription === undefined ? position : this.#routing.position(position, subscription)
    }
    if (!routedAsKeys.has(key)) return value
    const path = routedAsKeys.pathIn(key)
    return this.#routing.history(value as RoutedAs, path.split("/", 1)[0]!, this.#triggers.get(path))
  }

  #record({ key, value }: Item<unknown>): Promise<RoutingRecord> {
    return this.#routing.record(value as RoutingRecord, this.#triggers.get(routingKeys.pathIn(key)))
  }
}

/** A replay's places are those of the log that it was made for: one that is under way goes no further. */
function moved(replay: Replay): Replay {
  if (replay.state === "done" || replay.state === "cancelled") return replay
  return { ...replay, state: "cancelled", reason: "the hub was moved; make another one for what is left" }
}
