import { compileGlob, type Glob, type GlobPart, normalGlob, run } from "../glob.ts"
import { Sequence, setBit } from "../sequence.ts"

/** A path pattern: its segments, where `deep` is `**`, any number of segments, none included. */
export interface PathPattern {
  readonly segments: readonly PathSegment[]
  readonly captures: readonly PathCapture[]
}

/** Within a segment only runs are wild. A segment that is nothing but one run does not match an empty one. */
export type PathSegment = "deep" | Glob

/** A named part: `segments[from]` up to before `segments[to]`. */
export interface PathCapture {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** What is wrong with a pattern, at an offset. */
export interface PathFault {
  readonly at: number
  readonly found: string
  readonly expected: string
}

/** Parses a pattern; answers every fault where there is one. */
export function parsePath(text: string): PathPattern | readonly PathFault[] {
  const faults: PathFault[] = []
  const segments: PathSegment[] = []
  const captures: PathCapture[] = []
  const names = new Set<string>()
  for (const { text: part, at } of splitSegments(text)) {
    if (!part.startsWith("{")) {
      segments.push(segmentOf(part, at, faults))
      continue
    }
    const from = segments.length
    const capture = /^\{([A-Za-z_][A-Za-z0-9_-]*)(?:=([^{}]*))?\}$/.exec(part)
    if (capture === null) {
      faults.push({ at, found: part, expected: "a capture of whole segments: {name}, {name=**} or {name=a/*}" })
      continue
    }
    const [, name, inner = "*"] = capture
    if (names.has(name!)) faults.push({ at, found: name!, expected: "another name, for this one is taken" })
    names.add(name!)
    const innerAt = at + name!.length + 2
    if (inner === "") faults.push({ at: innerAt, found: "}", expected: "a pattern after =" })
    for (const piece of splitSegments(inner)) segments.push(segmentOf(piece.text, innerAt + piece.at, faults))
    captures.push({ name: name!, from, to: segments.length })
  }
  return faults.length > 0 ? faults : { segments, captures }
}

/** The parts between slashes, those within braces apart. */
function splitSegments(text: string): { readonly text: string; readonly at: number }[] {
  const parts: { text: string; at: number }[] = []
  let from = 0
  let depth = 0
  for (let at = 0; at <= text.length; at++) {
    const character = text[at]
    if (character === "{") depth++
    else if (character === "}") depth--
    else if (character === undefined || (character === "/" && depth <= 0)) {
      parts.push({ text: text.slice(from, at), at: from })
      from = at + 1
    }
  }
  return parts
}

function segmentOf(text: string, at: number, faults: PathFault[]): PathSegment {
  if (text === "**") return "deep"
  const double = text.indexOf("**")
  if (double >= 0) faults.push({ at: at + double, found: text, expected: "** alone between slashes, or a single *" })
  const brace = text.search(/[{}]/)
  if (brace >= 0) faults.push({ at: at + brace, found: text[brace]!, expected: "captures that are whole segments" })
  const parts: GlobPart[] = []
  for (const piece of text.split("*")) parts.push(piece, run)
  return normalGlob(parts.slice(0, -1))
}

/** The pattern as a function over whole values. Its time is linear in the value for a given pattern: no backtracking. */
export function compilePathPattern({ segments }: PathPattern): (text: string) => boolean {
  const groups = splitAtDeep(segments)
  const first = groups[0]!.map(compileSegment)
  if (groups.length === 1) return (text) => matchesAt(first, text.split("/"), 0, true)
  const last = groups.at(-1)!.map(compileSegment)
  const finds = groups.slice(1, -1).map(compileFind)
  return (text) => {
    const parts = text.split("/")
    if (!matchesAt(first, parts, 0, false)) return false
    let at = first.length
    for (const find of finds) {
      at = find(parts, at)
      if (at < 0) return false
    }
    return parts.length - last.length >= at && matchesAt(last, parts, parts.length - last.length, true)
  }
}

type Segment = (text: string) => boolean

function splitAtDeep(segments: readonly PathSegment[]): Glob[][] {
  const groups: Glob[][] = [[]]
  for (const segment of segments) {
    if (segment === "deep") groups.push([])
    else groups.at(-1)!.push(segment)
  }
  return groups
}

function compileSegment(glob: Glob): Segment {
  if (isOneRun(glob)) return (text) => text !== ""
  return compileGlob(glob)
}

/** Whether a segment is nothing but `*`. */
export function isOneRun(segment: PathSegment): boolean {
  return segment !== "deep" && segment.length === 1 && typeof segment[0] === "object"
}

function matchesAt(group: readonly Segment[], parts: readonly string[], at: number, whole: boolean): boolean {
  if (whole ? parts.length !== at + group.length : parts.length < at + group.length) return false
  for (let i = 0; i < group.length; i++) if (!group[i]!(parts[at + i]!)) return false
  return true
}

/** Where the leftmost match of a group at or after a place ends, or -1. */
function compileFind(group: readonly Glob[]): (parts: readonly string[], at: number) => number {
  if (group.length === 0) return (_, at) => at
  const sequence = new Sequence(group.length)
  const { words } = sequence
  const literals = new Map<string, Int32Array>()
  const wild: { readonly passes: Segment; readonly mask: Int32Array }[] = []
  for (const [at, glob] of group.entries()) {
    const literal = literalOf(glob)
    const mask = (literal === undefined ? undefined : literals.get(literal)) ?? new Int32Array(words)
    setBit(mask, 0, at)
    if (literal === undefined) wild.push({ passes: compileSegment(glob), mask })
    else literals.set(literal, mask)
  }
  const masks = new Int32Array(words)
  const addMask = (mask: Int32Array) => {
    for (let at = 0; at < words; at++) masks[at]! |= mask[at]!
  }
  return (parts, from) => {
    sequence.restart()
    for (let at = from; at < parts.length; at++) {
      masks.fill(0)
      const literal = literals.get(parts[at]!)
      if (literal !== undefined) addMask(literal)
      for (const { passes, mask } of wild) if (passes(parts[at]!)) addMask(mask)
      if (sequence.take(masks, 0)) return at + 1
    }
    return -1
  }
}

/** The text of a segment without wildcards; undefined where it has some. */
function literalOf(glob: Glob): string | undefined {
  if (glob.length === 0) return ""
  return glob.length === 1 && typeof glob[0] === "string" ? glob[0] : undefined
}

/** What the named parts of a pattern stand for in a value that it matches; undefined where it does not match. */
export function capturePath(pattern: PathPattern, text: string): Readonly<Record<string, string>> | undefined {
  const parts = text.split("/")
  const ends = align(pattern.segments, parts)
  if (ends === undefined) return undefined
  const start = (segment: number) => (segment === 0 ? 0 : ends[segment - 1]!)
  return Object.fromEntries(
    pattern.captures.map(({ name, from, to }) => [name, parts.slice(start(from), start(to)).join("/")]),
  )
}

/** Where each segment's share of the parts ends; a `**` takes as little as it can. */
function align(segments: readonly PathSegment[], parts: readonly string[]): readonly number[] | undefined {
  const groups = splitAtDeep(segments)
  const ends: number[] = []
  let at = 0
  for (const [index, globs] of groups.entries()) {
    const group = globs.map(compileSegment)
    const isLast = index === groups.length - 1
    let from = at
    if (index > 0) {
      const end = isLast ? parts.length : compileFind(globs)(parts, at)
      from = end - group.length
      if (end < 0 || from < at) return undefined
      ends.push(from)
    }
    if (!matchesAt(group, parts, from, isLast)) return undefined
    for (let i = 1; i <= group.length; i++) ends.push(from + i)
    at = from + group.length
  }
  return ends
}

/** The pattern as text that parses to the same pattern. */
export function printPath({ segments, captures }: PathPattern): string {
  const texts = segments.map((segment) =>
    segment === "deep" ? "**" : segment.map((part) => (typeof part === "string" ? part : "*")).join(""),
  )
  const parts: string[] = []
  for (let at = 0; at < texts.length; ) {
    const capture = captures.find(({ from }) => from === at)
    if (capture === undefined) parts.push(texts[at++]!)
    else {
      parts.push(`{${capture.name}=${texts.slice(capture.from, capture.to).join("/")}}`)
      at = capture.to
    }
  }
  return parts.join("/")
}
