import type { TriggerName } from "./delivery.ts"
import type { Event } from "./event.ts"

/**
 * The attribute of an event that stands for another one, which was redriven edited: the id of that one's dead letter. Only the hub
 * sets it. No trigger matches such an event: it is delivered in place of the dead letter, and for that one's trigger alone.
 */
export const editAttribute = "redcarredrive"

const quoted = Buffer.from(`"${editAttribute}"`)

/** Whether the event stands for one that was redriven edited. Costs no parsing where it does not. */
export function isEdit(event: Event): boolean {
  const json = event.attributesJson
  const found = Buffer.from(json.buffer, json.byteOffset, json.byteLength).includes(quoted)
  return found && event.attribute(editAttribute) !== undefined
}

/** Whether the event stands for one that this trigger owed. */
export function isEditFor(event: Event, { trigger, incarnation }: Omit<TriggerName, "tenant">): boolean {
  const letter = String(event.attribute(editAttribute) ?? "")
  const name = incarnation === "" ? trigger : `${trigger}.${incarnation}`
  const rest = letter.slice(letter.indexOf(".") + 1)
  return letter !== "" && (rest === name || rest.startsWith(`${name}.`))
}
