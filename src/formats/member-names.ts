/** The names that an envelope's members can have, as small numbers; from `redcarcursor` on, none is an attribute to keep,
 * and of what is published none from `redcardelayed` on. */
export const memberCodes = {
  extension: 0,
  specversion: 1,
  id: 2,
  source: 3,
  type: 4,
  subject: 5,
  time: 6,
  datacontenttype: 7,
  dataschema: 8,
  redcardelayed: 9,
  redcarredrive: 10,
  redcarcursor: 11,
  redcartime: 12,
  data: 13,
  data_base64: 14,
} as const

interface Name {
  readonly bytes: Uint8Array
  readonly code: number
}

// By length: there are three at most of one.
const known: readonly (readonly Name[])[] = Array.from({ length: 16 }, (_, length) =>
  Object.entries(memberCodes)
    .filter(([name, code]) => name.length === length && code !== memberCodes.extension)
    .map(([name, code]) => ({ bytes: new TextEncoder().encode(name), code })),
)

/** The code of the name from `start` to `end`; `extension` for another attribute's name, -1 for what is none. */
export function memberCode(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length < known.length) {
    const names = known[length]!
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      if (isAt(bytes, start, name.bytes)) return name.code
    }
  }
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (!((byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39))) return -1
  }
  return length === 0 ? -1 : memberCodes.extension
}

function isAt(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false
  return true
}
