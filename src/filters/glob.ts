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

/** The glob as a function over whole texts. Its time is linear in the text: no backtracking. */
export function compileGlob(parts: Glob): (text: string) => boolean {
  const glob = normalGlob(parts)
  const simple = compileSimple(glob)
  if (simple !== undefined) return simple
  const pieces = splitAtRuns(glob).map(pieceOf)
  const first = pieces[0]!
  if (pieces.length === 1) return (text) => first.matchAt(text, 0) === text.length
  const last = pieces.at(-1)!
  const middle = pieces.slice(1, -1)
  return (text) => {
    let at = first.matchAt(text, 0)
    if (at < 0) return false
    for (const piece of middle) {
      at = piece.find(text, at)
      if (at < 0) return false
    }
    return last.endsAt(text, at)
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
  if (glob.length === 3 && typeof b === "string") return (text) => text.includes(b)
  if (glob.length === 3 && typeof a === "string" && typeof c === "string") {
    const least = a.length + c.length
    return (text) => text.length >= least && text.startsWith(a) && text.endsWith(c)
  }
  return undefined
}

/** What stands between two runs: literals and single wildcards, so of a known number of characters. */
interface Piece {
  /** The end of the match that begins at `at`, or -1. */
  matchAt(text: string, at: number): number
  /** The end of the leftmost match at or after `at`, or -1. */
  find(text: string, at: number): number
  /** Whether the text ends in a match that begins at or after `at`. */
  endsAt(text: string, at: number): boolean
}

function splitAtRuns(glob: Glob): Glob[] {
  const pieces: GlobPart[][] = [[]]
  for (const part of glob) {
    if (typeof part === "object" && part.wild === "run") pieces.push([])
    else pieces.at(-1)!.push(part)
  }
  return pieces
}

function pieceOf(parts: Glob): Piece {
  if (parts.every((part) => typeof part === "string")) return literalPiece(parts.join(""))
  const matchAt = (text: string, at: number): number => {
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
  const characters = parts.reduce((sum, part) => sum + (typeof part === "string" ? [...part].length : 1), 0)
  return {
    matchAt,
    find(text, at) {
      for (let from = at; from <= text.length; from += widthAt(text, from)) {
        const end = matchAt(text, from)
        if (end >= 0) return end
      }
      return -1
    },
    endsAt(text, at) {
      const from = backFrom(text, characters)
      return from >= at && matchAt(text, from) === text.length
    },
  }
}

function literalPiece(literal: string): Piece {
  return {
    matchAt: (text, at) => (text.startsWith(literal, at) ? at + literal.length : -1),
    find(text, at) {
      const found = text.indexOf(literal, at)
      return found < 0 ? -1 : found + literal.length
    },
    endsAt: (text, at) => text.length - literal.length >= at && text.endsWith(literal),
  }
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
