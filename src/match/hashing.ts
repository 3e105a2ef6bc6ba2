/** The hash of no characters. */
export const seed = 17

/** The hash of a text and one character more. Any text may stand in a hostile filter: equal hashes only cost time. */
export function hashOn(hash: number, code: number): number {
  const mixed = Math.imul(hash ^ code, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/** The hash of a text's characters from `from` up to `to`. */
export function hashPart(text: string, from: number, to: number): number {
  let hash = seed
  for (let at = from; at < to; at++) hash = hashOn(hash, text.charCodeAt(at))
  return hash
}

/** The hash of a text from its end to its beginning. */
export function hashBackwards(text: string): number {
  let hash = seed
  for (let at = text.length - 1; at >= 0; at--) hash = hashOn(hash, text.charCodeAt(at))
  return hash
}

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

/** The hash of a value in JSON. */
export function hashValue(value: string | number | boolean | null): number {
  if (typeof value === "string") return hashPart(value, 0, value.length)
  if (typeof value !== "number") return value === null ? 1 : value ? 2 : 3
  // -0 equals 0.
  double[0] = value + 0
  return hashOn(hashOn(seed, halves[0]!), halves[1]!)
}
