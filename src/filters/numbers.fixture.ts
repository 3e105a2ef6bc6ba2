import type { Filter } from "../core/resources.ts"

/** Numbers as JSON writes them, many of which are nearest to the same double. */
export const numberTexts: readonly string[] = [
  ...["9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994", "7", "7.0", "0.1", "-7", "2.5"],
  ...["1e400", "-1e400", "1e-400", "0.10000000000000000001", "6.99999999999999999999", "70e-1", "0", "1e401"],
]

/** Below, at or above 0 as what is written first is to the second. */
export function compareWritten(a: string, b: string): number {
  const read = (text: string) => {
    const [, digits, fraction = "", power = "0"] = /^(-?[0-9]+)(?:\.([0-9]+))?(?:e(.*))?$/.exec(text)!
    return BigInt(`${digits}${fraction}`) * 10n ** BigInt(1_000 - fraction.length + Number(power))
  }
  const difference = read(a) - read(b)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

/** Filters on a number at `data.x`, and what they say of one by how it is written. */
export interface NumberFilter {
  readonly filters: readonly Filter[]
  readonly oracle: (x: string) => boolean
}

/** A number as query and SQL write it. */
function inQuery(text: string): string {
  return text.includes(".") ? text : text.replace(/^(-?\d+)/, "$1.0")
}

/** Those that ask of `data.x` what it is to each of the numbers, in every dialect that can. */
export const numberFilters: readonly NumberFilter[] = numberTexts.flatMap((number) => {
  const equal = (x: string) => compareWritten(x, number) === 0
  const above = (x: string) => compareWritten(x, number) > 0
  const text = inQuery(number)
  const inText: readonly NumberFilter[] = [
    { filters: [{ query: `data.x == ${number}` }], oracle: equal },
    { filters: [{ query: `data.x == ${text}` }], oracle: equal },
    { filters: [{ query: `data.x contains ${number} or data.x in [3, ${number}]` }], oracle: equal },
    { filters: [{ query: `data.x::NUMBER > ${number}` }], oracle: above },
    { filters: [{ query: `data.x != ${text}` }], oracle: (x) => !equal(x) },
    { filters: [{ query: `data.x > ${text}` }], oracle: above },
    { filters: [{ query: `data.x in [3, ${text}]` }], oracle: equal },
    { filters: [{ query: `data.x::NUMBER >= ${text}` }], oracle: (x) => above(x) || equal(x) },
    { filters: [{ sql: `data.x <= ${text}` }], oracle: (x) => !above(x) },
    { filters: [{ sql: `data.x = ${text}` }], oracle: equal },
    { filters: [{ sql: `data.x IN (${text}, 3.0)` }], oracle: equal },
    { filters: [{ sql: `data.x - ${text} = 0` }], oracle: equal },
  ]
  const value = JSON.parse(number) as number
  if (!Number.isFinite(value) || compareWritten(String(value), number) !== 0) return inText
  return [
    ...inText,
    { filters: [{ pattern: { data: { x: [value] } } }], oracle: equal },
    { filters: [{ pattern: { data: { x: [{ "anything-but": [value] }] } } }], oracle: (x) => !equal(x) },
    { filters: [{ pattern: { data: { x: [{ numeric: [">", value] }] } } }], oracle: above },
    { filters: [{ pattern: { data: { x: [{ numeric: ["<=", value] }] } } }], oracle: (x) => !above(x) },
  ]
})
