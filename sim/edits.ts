import type { Delivery } from "../src/core/delivery.ts"
import { editAttribute, isEditFor } from "../src/core/edits.ts"
import type { Event } from "../src/core/event.ts"
import type { EventLog } from "../src/core/log.ts"
import { InvariantError, identityOf, type RunRecord } from "./record.ts"
import type { World } from "./world.ts"

/** Notes the events that the hub stores in place of others, which dead letters were of, and that they were asked for. */
export function watchEdits(world: World, log: EventLog): void {
  const { record, clock, violate } = world
  const append = log.append.bind(log)
  log.append = (address, events, options) => {
    for (const event of events) {
      if (event.attribute(editAttribute) === undefined) continue
      const identity = identityOf(address, event)
      if (!isAsked(record, event)) violate(new InvariantError(1, `${identity} is an edit that nobody asked for`))
      const edit = { address, event, at: clock.now() }
      record.edits.set(identity, edit)
      // It may be stored, and may make its topic drop others.
      record.unheard.push(edit)
    }
    return append(address, events, options)
  }
}

/** Whether this is what was asked for: another subject, the letter and what caused it beside it, and all else as it was. */
function isAsked({ askedEdits }: RunRecord, { attributes }: Event): boolean {
  const { subject, causationid, [editAttribute]: letter } = attributes
  return causationid !== undefined && askedEdits.has(`${letter} ${subject}`)
}

/** Why this delivery must not be: an edit is delivered for the trigger of its letter alone. */
export function editFault({ id, trigger, incarnation }: Delivery, event: Event): InvariantError | undefined {
  if (isEditFor(event, { trigger, incarnation })) return undefined
  return new InvariantError(2, `${id} brings what was redriven edited for another trigger`)
}
