import { exactNumber } from "../formats/decimal.ts"
import { type Json, parseExact } from "../formats/exact-json.ts"
import { skipColon, skipSpace, skipString, skipValue } from "./json-scan.ts"

/** Members of an object that are asked for. */
export interface Wanted {
  readonly members: readonly WantedMember[]
}

export interface WantedMember {
  readonly name: string
  /** Its name in UTF-8. */
  readonly bytes: Uint8Array
  /** What is asked for of its value where that is an object; nothing, where that is absent. */
  readonly of: Wanted | undefined
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A member that is asked for; undefined where its name's bytes could be those of another name in JSON. */
export function wantedMember(name: string, of: Wanted | undefined): WantedMember | undefined {
  const odd = name === "__proto__" || name.includes("\\") || !name.isWellFormed()
  return odd ? undefined : { name, bytes: encoder.encode(name), of }
}

/**
 * The members asked for of an object in JSON, and of the objects in it; all else in full, but for objects of which nothing
 * is asked. Undefined where that cannot be said without parsing all of it: it is no object, or no JSON, or very deep.
 */
export function skim(json: Uint8Array, wanted: Wanted): Json | undefined {
  const from = skipSpace(json, json[0] === 0xef && json[1] === 0xbb && json[2] === 0xbf ? 3 : 0)
  if (json[from] !== 0x7b) return undefined
  const skimmer = new Skimmer(json, from)
  const found = skimmer.object(wanted)
  return found !== undefined && skipSpace(json, skimmer.at) === json.length ? found : undefined
}

class Skimmer {
  at: number
  readonly #json: Uint8Array

  constructor(json: Uint8Array, at: number) {
    this.#json = json
    this.at = at
  }

  /** The members asked for of the object that begins here; undefined where it is none. Leaves off behind it. */
  object(wanted: Wanted): { readonly [name: string]: Json } | undefined {
    const json = this.#json
    const found: { [name: string]: Json } = {}
    let at = skipSpace(json, this.at + 1)
    if (json[at] === 0x7d) {
      this.at = at + 1
      return found
    }
    // Ends: with the text: each turn takes a member, or finds that it is no JSON.
    for (;;) {
      const end = skipString(json, at)
      if (end < 0) return undefined
      const member = this.#memberOf(wanted, at, end)
      this.at = skipColon(json, end)
      if (this.at < 0 || !this.#value(member, found)) return undefined
      at = skipSpace(json, this.at)
      if (json[at] === 0x7d) {
        this.at = at + 1
        return found
      }
      if (json[at] !== 0x2c) return undefined
      at = skipSpace(json, at + 1)
    }
  }

  /** Reads the value that begins here, as far as it is asked for; the last one of a name counts. */
  #value(member: WantedMember | undefined, found: { [name: string]: Json }): boolean {
    const json = this.#json
    const from = this.at
    if (member !== undefined && json[from] === 0x7b && member.of !== undefined) {
      const inner = this.object(member.of)
      if (inner === undefined) return false
      found[member.name] = inner
      return true
    }
    this.at = skipValue(json, from)
    if (this.at < 0) return false
    if (member === undefined) return true
    if (json[from] === 0x7b) delete found[member.name]
    else found[member.name] = parse(json, from, this.at)
    return true
  }

  #memberOf({ members }: Wanted, from: number, end: number): WantedMember | undefined {
    const json = this.#json
    const length = end - from - 2
    for (const member of members) {
      if (member.bytes.length === length && startsWith(json, from + 1, member.bytes)) return member
    }
    return isPlain(json, from + 1, end - 1) ? undefined : this.#decodedMember(members, from, end)
  }

  #decodedMember(members: readonly WantedMember[], from: number, end: number): WantedMember | undefined {
    const name = JSON.parse(decoder.decode(this.#json.subarray(from, end))) as string
    return members.find((member) => member.name === name)
  }
}

/** A valid value. */
function parse(json: Uint8Array, from: number, to: number): Json {
  if (json[from] === 0x22 && isPlain(json, from + 1, to - 1)) return decoder.decode(json.subarray(from + 1, to - 1))
  const text = decoder.decode(json.subarray(from, to))
  return json[from] === 0x2d || isDigit(json[from]!) ? exactNumber(text) : parseExact(text)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function startsWith(json: Uint8Array, from: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (json[from + at] !== bytes[at]) return false
  return true
}

/** Whether the bytes within a string are its characters. */
function isPlain(json: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (json[at] === 0x5c || json[at]! >= 0x80) return false
  return true
}
