import { formatTopic } from "../core/address.ts"
import { isEdit } from "../core/edits.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import { compileFilters } from "../filters/compile.ts"
import { decided, type Matcher } from "./matcher.ts"

/** A matcher that asks every trigger: what the others are held against. */
export function createNaiveMatcher(): Matcher {
  const all = new Map<string, { readonly trigger: Trigger; readonly passes: ReturnType<typeof compileFilters> }>()
  const match: Matcher["match"] = (stored) => {
    const found: Trigger[] = []
    if (isEdit(stored.event)) return found
    for (const { trigger, passes } of all.values()) {
      if (listens(trigger, stored) && passes(stored.event)) found.push(trigger)
    }
    return found
  }
  return {
    match,
    begin: (stored) => decided(match(stored)),
    set(trigger) {
      all.set(`${trigger.tenant}/${trigger.id}`, { trigger, passes: compileFilters(trigger.filters) })
    },
    delete(tenant, id) {
      all.delete(`${tenant}/${id}`)
    },
    get tenants() {
      return new Set(Array.from(all.values(), ({ trigger }) => trigger.tenant)).size
    },
    any(tenant, topic) {
      return [...all.values()].some(
        ({ trigger }) =>
          trigger.tenant === tenant && (trigger.topic === topic || trigger.topic.startsWith(`${topic}:`)),
      )
    },
  }
}

/** Whether the event was published where the trigger listens. */
function listens(trigger: Trigger, { address }: StoredEvent): boolean {
  if (trigger.tenant !== address.tenant) return false
  return trigger.topic === address.topic || trigger.topic === formatTopic(address)
}
