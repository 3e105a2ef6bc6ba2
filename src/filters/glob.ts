import { compileSearch } from "./search.ts"
import { Sequence, setBit } from "./sequence.ts"

/** A text with wildcards: `run` is any run of characters, `one` exactly one; the rest is literal. */
export type Glob = readonly GlobPart[]
export type GlobPart = string | { readonly wild: "run" | "one" }

export const run: GlobPart = { wild: "run" }
export const one: GlobPart = { wild: "one" }

/** What must stand at the start of every text that the glob matches. */
export function globPrefix(glob: Glob): string {
  return typeof glob[0] === "string" ? glob[0] : ""
}

/** What must stand at the end of every text that the glob matches. */
export function globSuffix(glob: Glob): string {
  const last = glob.at(-1)
  return typeof last === "string" ? last : ""
}

/** Joins neighbouring literals and runs, so that equal globs look equal. */
export function normalGlob(parts: Glob): Glob {
  const glob: GlobPart[] = []
  for (const part of parts) {
    const last = glob.at(-1)
    if (typeof part === "string") {
      if (part === "") continue
      if (typeof last === "string") glob[glob.length - 1] = last + part
      else glob.push(part)
    } else if (part.wild === "one" || typeof last !== "object" || last.wild !== "run") glob.push(part)
  }
  return glob
}

/** Single characters and runs of them that a glob leaves open. */
export function wildcardsOf(glob: Glob): number {
  return glob.filter((part) => typeof part === "object").length
}

/** The most characters that a glob asks for at once anywhere in a text while some of them are open; 0 where it never does. */
export function openCharactersOf(glob: Glob): number {
  const middle = splitAtRuns(glob).slice(1, -1)
  return Math.max(0, ...middle.filter((parts) => wildcardsOf(parts) > 0).map(countCharacters))
}

/**
 * The glob as a function over whole texts. Its time is linear in the text: no backtracking, and one pass for what stands
 * between two runs, at one operation a character for every 32 of its own.
 */
export function compileGlob(parts: Glob): (text: string) => boolean {
  const glob = normalGlob(parts)
  const simple = compileSimple(glob)
  if (simple !== undefined) return simple
  const [first, ...rest] = splitAtRuns(glob)
  const start = compileStart(first!)
  const last = rest.pop()
  if (last === undefined) return (text) => start(text, 0) === text.length
  const finds = rest.map(compileFind)
  const endsAt = compileEnd(last)
  return (text) => {
    let at = start(text, 0)
    if (at < 0) return false
    for (const find of finds) {
      at = find(text, at)
      if (at < 0) return false
    }
    return endsAt(text, at)
  }
}

/** The shapes that need no pieces: `text`, `text%`, `%text`, `%text%`, `%`. */
function compileSimple(glob: Glob): ((text: string) => boolean) | undefined {
  const [a, b, c] = glob
  if (glob.length === 0) return (text) => text === ""
  if (glob.some((part) => part === one || (typeof part === "object" && part.wild === "one"))) return undefined
  if (glob.length === 1) return typeof a === "string" ? (text) => text === a : () => true
  if (glob.length === 2) {
    if (typeof a === "string") return (text) => text.startsWith(a)
    if (typeof b === "string") return (text) => text.endsWith(b)
  }
  if (glob.length === 3 && typeof b === "string") {
    const search = compileSearch(b)
    return (text) => search(text, 0) >= 0
  }
  if (glob.length === 3 && typeof a === "string" && typeof c === "string") {
    const least = a.length + c.length
    return (text) => text.length >= least && text.startsWith(a) && text.endsWith(c)
  }
  return undefined
}

/** What stands between runs: literals and single wildcards, so of a known number of characters. */
function splitAtRuns(glob: Glob): Glob[] {
  const pieces: GlobPart[][] = [[]]
  for (const part of glob) {
    if (typeof part === "object" && part.wild === "run") pieces.push([])
    else pieces.at(-1)!.push(part)
  }
  return pieces
}

/** A piece at one place of a text: where its match that begins there ends, or -1. */
function compileStart(parts: Glob): (text: string, at: number) => number {
  return (text, at) => {
    let here = at
    for (const part of parts) {
      if (typeof part === "string") {
        if (!text.startsWith(part, here)) return -1
        here += part.length
      } else {
        if (here >= text.length) return -1
        here += widthAt(text, here)
      }
    }
    return here
  }
}

/** Whether a text ends in a match of the piece that begins at or after a place. */
function compileEnd(parts: Glob): (text: string, at: number) => boolean {
  const matchAt = compileStart(parts)
  const characters = countCharacters(parts)
  return (text, at) => {
    const from = backFrom(text, characters)
    return from >= at && matchAt(text, from) === text.length
  }
}

/** Where the leftmost match of a piece at or after a place ends, or -1. */
function compileFind(parts: Glob): (text: string, at: number) => number {
  if (wildcardsOf(parts) > 0) return compileOpenFind(parts)
  const literal = parts.join("")
  const search = compileSearch(literal)
  return (text, at) => {
    const found = search(text, at)
    return found < 0 ? -1 : found + literal.length
  }
}

/** Characters below this find their masks without a map. */
const plainMax = 128

function compileOpenFind(parts: Glob): (text: string, at: number) => number {
  const tests = parts.flatMap((part) =>
    typeof part === "string" ? [...part].map((one) => one.codePointAt(0)) : [undefined],
  )
  const sequence = new Sequence(tests.length)
  const { words } = sequence
  // The first row is of characters that the piece does not name.
  const rows = new Map([...new Set(tests)].filter((code) => code !== undefined).map((code, at) => [code, at + 1]))
  const plain = Uint16Array.from({ length: plainMax }, (_, code) => (rows.get(code) ?? 0) * words)
  const masks = new Int32Array((rows.size + 1) * words)
  for (const [at, code] of tests.entries()) {
    if (code !== undefined) setBit(masks, rows.get(code)! * words, at)
    else for (let row = 0; row < masks.length; row += words) setBit(masks, row, at)
  }
  return (text, from) => {
    sequence.restart()
    for (let at = from; at < text.length; ) {
      const code = text.codePointAt(at)!
      at += code > 0xffff ? 2 : 1
      if (sequence.take(masks, code < plainMax ? plain[code]! : (rows.get(code) ?? 0) * words)) return at
    }
    return -1
  }
}

function countCharacters(parts: Glob): number {
  return parts.reduce((sum, part) => sum + (typeof part === "string" ? [...part].length : 1), 0)
}

/** Code units of the character at `at`: 2 for a surrogate pair. */
function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
}

/** The offset of the `characters`-th character from the end; -1 where the text is shorter. */
function backFrom(text: string, characters: number): number {
  let at = text.length
  for (let left = characters; left > 0; left--) {
    if (at <= 0) return -1
    at -= at >= 2 && (text.codePointAt(at - 2) ?? 0) > 0xffff ? 2 : 1
  }
  return at
}
