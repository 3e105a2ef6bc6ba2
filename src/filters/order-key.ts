import { createHash } from "node:crypto"
import { orderKeyMax } from "../core/delivery.ts"
import type { Ordering } from "../core/resources.ts"
import { compilePath, type EventView, isComposite, type Json } from "./view.ts"

const attributeName = /^[a-z0-9]{1,20}$/
const dataPath = /^data(\.[^.\s[\]]{1,100}){1,10}$/

/** What is wrong with what a trigger says it orders by; undefined: nothing is. */
export function orderByFault(by: string): string | undefined {
  if (attributeName.test(by) && by !== "data") return undefined
  if (dataPath.test(by)) return undefined
  return 'must be an attribute\'s name, such as "partitionkey" or "subject", or a member of the data, such as "data.customer.id"'
}

/**
 * The order key of an event's delivery: events are ordered among each other where this text is equal. Undefined where the event
 * does not have what is ordered by, or has null, an object or an array there: it is in no order.
 */
export function orderKeyOf({ by }: Ordering, view: EventView): string | undefined {
  const value = by.startsWith("data.") ? ofData(by, view) : view.text(by)
  return value === undefined ? undefined : keyOf(value)
}

function ofData(by: string, view: EventView): string | undefined {
  const value: Json | undefined = compilePath(by.split(".").slice(1))(view.data())
  return value === undefined || value === null || isComposite(value) ? undefined : String(value)
}

/** Of a text that is no key itself, 132 bits of its hash. */
function keyOf(text: string): string {
  if (/^[\x21-\x7d][\x21-\x7e]*$/.test(text) && text.length <= orderKeyMax) return text
  return `~${createHash("sha256").update(text).digest("base64url").slice(0, 22)}`
}
