import { type Glob, type GlobPart, normalGlob, one, openCharactersOf, run, wildcardsOf } from "../glob.ts"
import { limits } from "../limits.ts"

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

/** What makes a pattern cost too much to match; undefined where nothing does. */
export function likeFault(pattern: string): string | undefined {
  const glob = likeGlob(pattern)
  if (wildcardsOf(glob) > limits.wildcardsMax) {
    return `the pattern has more than ${limits.wildcardsMax} wildcards; use fewer % and _`
  }
  if (openCharactersOf(glob) <= limits.openCharactersMax) return undefined
  return `the pattern has more than ${limits.openCharactersMax} characters with a _ between two %; use a shorter part`
}
