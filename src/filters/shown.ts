import { isComposite, type Json } from "./view.ts"

/** A value as JSON, where it has more than `max` characters its beginning with an ellipsis; takes no longer than what is shown. */
export function showJson(value: Json, max: number): string {
  const text = beginning(value, max + 1)
  return text.length > max ? `${text.slice(0, max)}…` : text
}

/** Characters of a value in a message. */
const inMessageMax = 60

/** A value as messages about it show it. */
export function showValue(value: Json): string {
  return showJson(value, inMessageMax)
}

/** The JSON text, or so many characters of it at least. */
function beginning(value: Json, room: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, Math.max(0, room)))
  if (!isComposite(value)) return JSON.stringify(value)
  const isArray = Array.isArray(value)
  const parts = isArray ? (value as readonly Json[]).values() : membersOf(value as { readonly [name: string]: Json })
  let text = isArray ? "[" : "{"
  for (const part of parts) {
    if (text.length > 1) text += ","
    if (isArray) text += beginning(part as Json, room - text.length)
    else {
      const [name, member] = part as readonly [string, Json]
      text += `${beginning(name, room - text.length)}:`
      text += beginning(member, room - text.length)
    }
    if (text.length >= room) return text
  }
  return `${text}${isArray ? "]" : "}"}`
}

function* membersOf(value: { readonly [name: string]: Json }): Generator<readonly [string, Json]> {
  for (const name in value) if (Object.hasOwn(value, name)) yield [name, value[name]!]
}
