import type { Event } from "./event.ts"

/** An event may come of so many forwards and replies in a row: topics that feed each other in a circle come to an end. */
export const hopsMax = 8
/** The extension attribute that counts them. */
export const hopsAttribute = "redcarhops"

/** How many forwards and replies an event came of. Publishers can write the attribute too: what is no count is none. */
export function hopsOf(event: Event): number {
  const hops = Number(event.attribute(hopsAttribute) ?? 0)
  return Number.isInteger(hops) && hops > 0 ? hops : 0
}
