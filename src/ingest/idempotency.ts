import { Refusal } from "./refusal.ts"

const field = "idempotency-key"
const form = /^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/

/**
 * The key of an `Idempotency-Key` header, which is a quoted string (RFC 9651) or, as many send it, the text as it is. It
 * becomes the id of an event that has none, so that a repeat is known as a duplicate.
 */
export function parseIdempotencyKey(header: string): string | Refusal {
  const key = /^"(.*)"$/.exec(header)?.[1]?.replace(/\\(["\\])/g, "$1") ?? header
  return form.test(key) ? key : refused("must be 1 to 255 printable ASCII characters, the same for each repeat")
}

/** The refusal of the header beside events with an id. */
export const superfluousKey = refused(
  "is for raw input, which has no id; an event is known again by its source and id: leave the header out, and repeat the id",
)

function refused(message: string): Refusal {
  return new Refusal("invalid-argument", `${field} ${message}`, { errors: [{ field, message }] })
}
