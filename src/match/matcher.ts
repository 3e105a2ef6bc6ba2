import { parseTopic } from "../core/address.ts"
import type { StoredEvent } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"
import { EventView } from "../filters/view.ts"
import { type Entry, entryOf, TriggerIndex } from "./index.ts"
import type { Matching } from "./matching.ts"
import { WideMap } from "./wide-map.ts"

/** Which triggers an event fires. Triggers come and go while it runs. */
export interface Matcher {
  /** Adds a trigger, or replaces the one of the same tenant and id. Its topic and filters must be checked ones. */
  set(trigger: Trigger): void
  /** Removes a trigger; nothing happens where there is none. */
  delete(tenant: string, id: string): void
  /**
   * The triggers that this event fires, paused ones included, in no particular order. Not to be changed. `view` is the
   * event's, where there is one already, so that its data is parsed once.
   */
  match(stored: StoredEvent, view?: EventView): readonly Trigger[]
  /** Whether any trigger is on this topic or on a key of it. */
  any(tenant: string, topic: string): boolean
}

/** The triggers of one topic: those on all of it, and those on one key. */
interface TopicTriggers {
  readonly everyKey: TriggerIndex
  readonly byKey: Map<string, TriggerIndex>
}

interface Place {
  readonly entry: Entry
  readonly topic: string
  readonly key: string | undefined
}

const none: readonly Trigger[] = []

/** A matcher whose time depends on the triggers that an event fires, hardly on how many there are. */
export function createMatcher(): Matcher {
  return new IndexMatcher()
}

class IndexMatcher implements Matcher {
  readonly #topics = new Map<string, TopicTriggers>()
  /** Where each trigger is now, by tenant and id. */
  readonly #places = new WideMap<Place>()
  #serial = 0

  set(trigger: Trigger): void {
    const address = parseTopic(trigger.topic)
    if (typeof address === "string") throw new TypeError(`trigger ${trigger.id}: ${address}`)
    const entry = entryOf(trigger)
    this.delete(trigger.tenant, trigger.id)
    const topic = path(trigger.tenant, address.topic)
    const triggers = getOr(this.#topics, topic, () => ({ everyKey: new TriggerIndex(), byKey: new Map() }))
    const { key } = address
    const index = key === undefined ? triggers.everyKey : getOr(triggers.byKey, key, () => new TriggerIndex())
    index.add(entry)
    this.#places.set(path(trigger.tenant, trigger.id), { entry, topic, key })
  }

  delete(tenant: string, id: string): void {
    const place = this.#places.get(path(tenant, id))
    if (place === undefined) return
    this.#places.delete(path(tenant, id))
    const triggers = this.#topics.get(place.topic)!
    if (place.key === undefined) triggers.everyKey.remove(place.entry)
    else {
      const index = triggers.byKey.get(place.key)!
      index.remove(place.entry)
      if (index.empty) triggers.byKey.delete(place.key)
    }
    if (triggers.everyKey.empty && triggers.byKey.size === 0) this.#topics.delete(place.topic)
  }

  any(tenant: string, topic: string): boolean {
    return this.#topics.has(path(tenant, topic))
  }

  match({ address, event }: StoredEvent, view = new EventView(event)): readonly Trigger[] {
    const triggers = this.#topics.get(path(address.tenant, address.topic))
    if (triggers === undefined) return none
    const keyed = address.key === undefined ? undefined : triggers.byKey.get(address.key)
    if (keyed === undefined && triggers.everyKey.empty) return none
    const matching: Matching = { view, found: [], serial: ++this.#serial }
    triggers.everyKey.collect(matching)
    keyed?.collect(matching)
    return matching.found
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
