import { type Glob, normalGlob } from "../filters/glob.ts"
import type { PathSegment } from "../filters/path/pattern.ts"
import type { DataPath } from "../filters/view.ts"
import type { Interval } from "./intervals.ts"

/** Something that an index can look up: one field and what must be true of it. */
export interface Key {
  readonly field: KeyField
  readonly by: KeyKind
}

/** In data, arrays stand for their elements, so a number of an element is not part of the place. */
export type KeyField =
  | { readonly from: "attribute"; readonly name: string }
  | { readonly from: "data"; readonly path: readonly string[] }

export type KeyKind =
  /** The value; an attribute's canonical text. */
  | { readonly kind: "value"; readonly value: string | number | boolean | null }
  | { readonly kind: "fold"; readonly text: string }
  | { readonly kind: "prefix" | "suffix"; readonly text: string }
  | { readonly kind: "path"; readonly segments: readonly PathSegment[] }
  /** `loose`: texts and booleans that stand for a number count as one. */
  | { readonly kind: "range"; readonly loose: boolean; readonly interval: Interval }

/** A condition that every event which passes fulfils: one of the keys is found. `exact`: and it is all that is asked. */
export interface Cover {
  readonly keys: readonly Key[]
  readonly exact: boolean
}

/** Keys of one cover at most; beyond it checking the trigger is cheaper than finding it. */
const keysMax = 64

/** The same cover as one condition of several. */
export function inexact({ keys }: Cover): Cover {
  return { keys, exact: false }
}

/** One of several alternatives holds: their best covers together, where each has one. */
export function eitherCover(parts: readonly (readonly Cover[])[]): readonly Cover[] {
  const keys: Key[] = []
  let exact = true
  for (const covers of parts) {
    const best = bestFirst(covers)[0]
    if (best === undefined) return []
    keys.push(...best.keys)
    exact &&= best.exact
  }
  return keys.length === 0 || keys.length > keysMax ? [] : [{ keys, exact }]
}

/** Covers in order of how few events they let through and how cheaply they are asked, as far as that can be guessed. */
export function bestFirst(covers: readonly Cover[]): readonly Cover[] {
  return covers
    .map((cover) => ({ cover, rank: rankOf(cover) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ cover }) => cover)
}

const ranks: Readonly<Record<KeyKind["kind"], number>> = { value: 0, fold: 1, path: 2, prefix: 3, suffix: 4, range: 6 }

/** Data comes after attributes, for it has to be parsed; but its values tell events apart better than ranges. */
function rankOf({ keys }: Cover): number {
  const worst = Math.max(...keys.map(({ field, by }) => ranks[by.kind] + (field.from === "data" ? 5 : 0)))
  return worst + keys.length / 100
}

/** What a test is found by. */
export interface Found {
  readonly by: KeyKind
  readonly exact: boolean
}

/** A glob by its literal beginning or end, whichever is longer. */
export function globKey(parts: Glob): Found | undefined {
  const glob = normalGlob(parts)
  const first = glob[0] ?? ""
  const last = glob.at(-1) ?? ""
  if (glob.length <= 1 && typeof first === "string") return { by: { kind: "value", value: first }, exact: true }
  const prefix = typeof first === "string" ? first : ""
  const suffix = typeof last === "string" ? last : ""
  if (prefix === "" && suffix === "") return undefined
  const exact = glob.length === 2 && !glob.some((part) => typeof part === "object" && part.wild === "one")
  return prefix.length >= suffix.length
    ? { by: { kind: "prefix", text: prefix }, exact }
    : { by: { kind: "suffix", text: suffix }, exact }
}

/** A place in data without the numbers of elements. */
export function namesOf(path: DataPath): readonly string[] {
  return path.filter((step) => typeof step === "string")
}
