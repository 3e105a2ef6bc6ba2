import type { Address } from "../core/address.ts"
import { parseTopic } from "../core/address.ts"
import type { StoredEvent } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"
import { compileNode, type Predicate, treeOf } from "../filters/compile.ts"
import { EventView } from "../filters/view.ts"

/** Which triggers an event fires. Triggers come and go while it runs. */
export interface Matcher {
  /** Adds a trigger, or replaces the one of the same tenant and id. Its topic and filters must be checked ones. */
  set(trigger: Trigger): void
  /** Removes a trigger; nothing happens where there is none. */
  delete(tenant: string, id: string): void
  /** The triggers that this event fires, paused ones included, in no particular order. Not to be kept or changed. */
  match(stored: StoredEvent): readonly Trigger[]
  /** Whether any trigger is on this topic or on a key of it. */
  any(tenant: string, topic: string): boolean
}

interface Entry {
  readonly trigger: Trigger
  readonly passes: Predicate
}

/** The triggers of one topic: those on all of it, and those on one key. */
interface TopicTriggers {
  readonly everyKey: Map<string, Entry>
  readonly byKey: Map<string, Map<string, Entry>>
}

const none: readonly Trigger[] = []

export function createMatcher(): Matcher {
  return new TopicMatcher()
}

class TopicMatcher implements Matcher {
  readonly #topics = new Map<string, TopicTriggers>()
  /** Where each trigger is now, by tenant and id. */
  readonly #places = new Map<string, { readonly topic: string; readonly key: string | undefined }>()

  set(trigger: Trigger): void {
    this.delete(trigger.tenant, trigger.id)
    const address = parseTopic(trigger.topic)
    if (typeof address === "string") throw new TypeError(`trigger ${trigger.id}: ${address}`)
    const entry = { trigger, passes: compileNode(treeOf(trigger.filters)) }
    const topic = path(trigger.tenant, address.topic)
    const triggers = getOr(this.#topics, topic, () => ({ everyKey: new Map(), byKey: new Map() }))
    const { key } = address
    const entries = key === undefined ? triggers.everyKey : getOr(triggers.byKey, key, () => new Map<string, Entry>())
    entries.set(trigger.id, entry)
    this.#places.set(path(trigger.tenant, trigger.id), { topic, key })
  }

  delete(tenant: string, id: string): void {
    const place = this.#places.get(path(tenant, id))
    if (place === undefined) return
    this.#places.delete(path(tenant, id))
    const triggers = this.#topics.get(place.topic)!
    if (place.key === undefined) triggers.everyKey.delete(id)
    else {
      const entries = triggers.byKey.get(place.key)!
      entries.delete(id)
      if (entries.size === 0) triggers.byKey.delete(place.key)
    }
    if (triggers.everyKey.size === 0 && triggers.byKey.size === 0) this.#topics.delete(place.topic)
  }

  any(tenant: string, topic: string): boolean {
    return this.#topics.has(path(tenant, topic))
  }

  match(stored: StoredEvent): readonly Trigger[] {
    const triggers = this.#topics.get(path(stored.address.tenant, stored.address.topic))
    if (triggers === undefined) return none
    const keyed = keyedEntries(triggers, stored.address)
    if (keyed === undefined && triggers.everyKey.size === 0) return none
    const view = new EventView(stored.event)
    const found: Trigger[] = []
    for (const entry of triggers.everyKey.values()) if (entry.passes(view)) found.push(entry.trigger)
    if (keyed) for (const entry of keyed.values()) if (entry.passes(view)) found.push(entry.trigger)
    return found
  }
}

function keyedEntries(triggers: TopicTriggers, address: Address): Map<string, Entry> | undefined {
  return address.key === undefined ? undefined : triggers.byKey.get(address.key)
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
