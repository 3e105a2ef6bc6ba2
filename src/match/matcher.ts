import { parseTopic } from "../core/address.ts"
import { isEdit } from "../core/edits.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import { EventView } from "../filters/view.ts"
import { entryOf, TriggerIndex } from "./index.ts"
import type { Ref } from "./matching.ts"
import { type Matching, Postings } from "./postings.ts"
import { WideMap } from "./wide-map.ts"

/** Which triggers an event fires. Triggers come and go while it runs. */
export interface Matcher {
  /** Adds a trigger, or replaces the one of the same tenant and id. Its topic and filters must be checked ones. */
  set(trigger: Trigger): void
  /** Removes a trigger; nothing happens where there is none. */
  delete(tenant: string, id: string): void
  /**
   * The triggers that this event fires, paused ones included, in no particular order: none where it stands for one that was redriven
   * edited. Not to be changed. `view` is the
   * event's, where there is one already, so that its data is parsed once.
   */
  match(stored: StoredEvent, view?: EventView): readonly Trigger[]
  /** The same in turns of about so many steps, of a few nanoseconds each: this is the first. No trigger may change meanwhile. */
  begin(stored: StoredEvent, steps: number): Decision
  /** How many tenants have any trigger. */
  readonly tenants: number
  /** Whether any trigger is on this topic or on a key of it. */
  any(tenant: string, topic: string): boolean
}

/** Which triggers an event fires, as far as it is decided. */
export interface Decision {
  readonly found: readonly Trigger[]
  /** Whether nothing is left to decide. */
  readonly done: boolean
  /** Steps until now. */
  readonly steps: number
  /** Takes another turn of about so many steps. */
  goOn(steps: number): void
}

/** The triggers of one topic: those on all of it, and those on one key. */
interface TopicTriggers {
  readonly everyKey: TriggerIndex
  readonly byKey: Map<string, TriggerIndex>
}

interface Place {
  readonly entry: Ref
  readonly topic: string
  readonly key: string | undefined
}

const none: readonly Trigger[] = []
const nothingToDecide: Decision = decided(none)

/** A decision that took no time. */
export function decided(found: readonly Trigger[]): Decision {
  return { found, done: true, steps: 0, goOn() {} }
}

/** A matcher whose time depends on the triggers that an event fires, hardly on how many there are. */
export function createMatcher(): Matcher {
  return new IndexMatcher()
}

class IndexMatcher implements Matcher {
  /** By tenant and topic. */
  readonly #topics = new Map<string, Map<string, TopicTriggers>>()
  /** Where each trigger is now, by tenant and id. */
  readonly #places = new WideMap<Place>()
  readonly #postings = new Postings((postings, depth) => new TriggerIndex(postings, depth))

  set(trigger: Trigger): void {
    const { tenant, id } = trigger
    const address = parseTopic(trigger.topic)
    if (typeof address === "string") throw new TypeError(`trigger ${id}: ${address}`)
    const { topic, key } = address
    const read = entryOf(trigger)
    this.delete(tenant, id)
    const entry = this.#postings.register(read)
    const topics = getOr(this.#topics, tenant, () => new Map<string, TopicTriggers>())
    const triggers = getOr(topics, topic, () => ({ everyKey: this.#index(), byKey: new Map() }))
    const index = key === undefined ? triggers.everyKey : getOr(triggers.byKey, key, () => this.#index())
    index.add(entry)
    this.#places.set(path(tenant, id), { entry, topic, key })
  }

  #index(): TriggerIndex {
    return new TriggerIndex(this.#postings)
  }

  delete(tenant: string, id: string): void {
    const place = this.#places.get(path(tenant, id))
    if (place === undefined) return
    this.#places.delete(path(tenant, id))
    const topics = this.#topics.get(tenant)!
    const { everyKey, byKey } = topics.get(place.topic)!
    if (place.key === undefined) everyKey.remove(place.entry)
    else {
      const index = byKey.get(place.key)!
      index.remove(place.entry)
      if (index.empty) byKey.delete(place.key)
    }
    this.#postings.forget(place.entry)
    if (!everyKey.empty || byKey.size > 0) return
    topics.delete(place.topic)
    if (topics.size === 0) this.#topics.delete(tenant)
  }

  get tenants(): number {
    return this.#topics.size
  }

  any(tenant: string, topic: string): boolean {
    return this.#topics.get(tenant)?.has(topic) === true
  }

  match(stored: StoredEvent, view = new EventView(stored.event)): readonly Trigger[] {
    return this.#collect(stored, view)?.found ?? none
  }

  begin(stored: StoredEvent, steps: number): Decision {
    const view = new EventView(stored.event)
    view.turn(steps)
    return this.#collect(stored, view) ?? nothingToDecide
  }

  #collect({ address, event }: StoredEvent, view: EventView): Matching | undefined {
    const triggers = this.#topics.get(address.tenant)?.get(address.topic)
    if (triggers === undefined) return undefined
    const keyed = address.key === undefined ? undefined : triggers.byKey.get(address.key)
    if ((keyed === undefined && triggers.everyKey.empty) || isEdit(event)) return undefined
    const matching = this.#postings.matching(view)
    triggers.everyKey.collect(matching)
    keyed?.collect(matching)
    this.#postings.skimming.learn(view)
    return matching
  }
}

/** Tenants, topics and ids hold no slash. */
function path(tenant: string, name: string): string {
  return `${tenant}/${name}`
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
