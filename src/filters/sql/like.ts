import { type Glob, type GlobPart, normalGlob, one, run } from "../glob.ts"

/** A LIKE pattern as a glob: `%` any run, `_` one character, `\%` and `\_` themselves, all else literal. */
export function likeGlob(pattern: string): Glob {
  const parts: GlobPart[] = []
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!
    const next = pattern[at + 1]
    if (character === "\\" && (next === "%" || next === "_")) {
      parts.push(next)
      at++
    } else parts.push(character === "%" ? run : character === "_" ? one : character)
  }
  return normalGlob(parts)
}
