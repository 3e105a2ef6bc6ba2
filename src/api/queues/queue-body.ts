import { formatTopic } from "../../core/address.ts"
import { EventWriter } from "../../formats/json-encode.ts"
import { formatLease } from "../../queues/token.ts"
import type { Leased } from "../../queues/work-queues.ts"

/** The answer to a lease, with each event as it is stored. */
export function leasedBody(items: readonly Leased[]): Buffer {
  const writer = new EventWriter()
  writer.text('{"items":[')
  for (const [i, leased] of items.entries()) {
    writer.text(`${i === 0 ? "" : ","}${ascii(namesOf(leased)).slice(0, -1)},"event":`)
    writer.event(leased.stored.event)
    writer.text("}")
  }
  writer.text("]}")
  return writer.take()
}

function namesOf({ lease, stored, expiresAt }: Leased): object {
  const { delivery, attempt } = lease
  return {
    lease: formatLease(lease),
    delivery: delivery.id,
    attempt,
    trigger: delivery.trigger,
    topic: formatTopic(stored.address),
    cursor: delivery.cursor,
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt).toISOString() }),
  }
}

/** As JSON of ASCII alone. */
function ascii(value: object): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}
