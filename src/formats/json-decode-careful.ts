import { Event } from "../core/event.ts"
import {
  attributesMax,
  type Fault,
  isDropped,
  missing,
  nameFault,
  type Rules,
  requiredAttributes,
  tooManyAttributes,
  valueFault,
} from "./attributes.ts"
import { InvalidEvent } from "./invalid-event.ts"
import { type JsonScanner, jsonBits, jsonKind } from "./json-scan.ts"
import { parseMediaType } from "./media-type.ts"
import { payloadOf } from "./payload.ts"

/** What the members of an envelope come to, one by one. */
interface Reading {
  readonly faults: Fault[]
  readonly names: Set<string>
  /** The values of the attributes that are there. */
  readonly values: Map<string, unknown>
  /** `"name":value`, as they stand in the envelope. */
  readonly parts: string[]
  data: number
  base64: number
}

/**
 * The event of the object that was last scanned in `bytes`, by every rule, one member after the other; where it is none,
 * everything that is wrong with it. Understands whatever the quick decoder leaves: whitespace, escapes, other scripts.
 */
export function decodeCarefully(bytes: Buffer, scanner: JsonScanner, rules: Rules): Event | InvalidEvent {
  const reading: Reading = { faults: [], names: new Set(), values: new Map(), parts: [], data: -1, base64: -1 }
  if (scanner.count > attributesMax) reading.faults.push(tooManyAttributes)
  else for (let i = 0; i < scanner.count; i++) readMember(bytes, scanner.members, i, reading, rules)
  const { faults, values } = reading
  for (const name of requiredAttributes)
    if (!values.has(name) && scanner.count <= attributesMax) faults.push(missing(name))
  const type = values.get("datacontenttype")
  const declared = typeof type !== "string" ? "absent" : parseMediaType(type).json ? "json" : "other"
  const payload = payloadOf(bytes, scanner.members, reading, declared, rules)
  if ("message" in payload) faults.push(payload)
  if (faults.length > 0 || "message" in payload) return InvalidEvent.of(faults, values.get("id"))
  const attributes = Buffer.from(`{${reading.parts.join(",")}}`)
  const identity = { id: values.get("id") as string, source: values.get("source") as string }
  return Event.fromJson(attributes, payload.data, payload.kind, identity)
}

function readMember(bytes: Buffer, members: Int32Array, index: number, reading: Reading, rules: Rules): void {
  const at = index * 5
  const name = JSON.parse(bytes.toString("utf8", members[at]! - 1, members[at + 1]! + 1)) as string
  if (reading.names.has(name)) {
    reading.faults.push({ field: name, message: "is there more than once" })
    return
  }
  reading.names.add(name)
  if (name === "data") reading.data = index
  else if (name === "data_base64") reading.base64 = index
  else if (!isDropped(name, rules)) readAttribute(bytes, members, at, name, reading)
}

function readAttribute(bytes: Buffer, members: Int32Array, at: number, name: string, reading: Reading): void {
  const kind = members[at + 4]! & jsonBits.kind
  const wrongName = nameFault(name)
  if (wrongName !== undefined) reading.faults.push({ field: name, message: wrongName })
  if (kind === jsonKind.null || wrongName !== undefined) return
  const raw = bytes.toString("utf8", members[at + 2]!, members[at + 3]!)
  // An array or an object is wrong whatever it holds.
  const value: unknown = kind === jsonKind.object || kind === jsonKind.array ? [] : JSON.parse(raw)
  reading.values.set(name, value)
  const message = valueFault(name, value) ?? (kind === jsonKind.number && /[.eE]/.test(raw) ? notInteger : undefined)
  if (message !== undefined) reading.faults.push({ field: name, message })
  reading.parts.push(`"${name}":${raw}`)
}

const notInteger = "must be a whole number, without fraction or exponent"
