/** The hash of no characters. */
export const seed = 17

/** The hash of a text and one character more. Any text may stand in a hostile filter: equal hashes only cost time. */
export function hashOn(hash: number, code: number): number {
  const mixed = Math.imul(hash ^ code, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/** The hash of a text's characters from `from` up to `to`, after others that have this hash. */
export function hashText(text: string, from = 0, to = text.length, before = seed): number {
  let hash = before
  for (let at = from; at < to; at++) hash = hashOn(hash, text.charCodeAt(at))
  return hash
}

/** The hash of a text from its end to its beginning. */
export function hashBackwards(text: string): number {
  let hash = seed
  for (let at = text.length - 1; at >= 0; at--) hash = hashOn(hash, text.charCodeAt(at))
  return hash
}
