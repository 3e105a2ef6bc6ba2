import { type Glob, normalGlob } from "../filters/glob.ts"
import type { PathSegment } from "../filters/path/pattern.ts"
import type { Field, Node, RangeTest, Test } from "../filters/tree.ts"
import type { DataPath } from "../filters/view.ts"
import type { Interval } from "./intervals.ts"
import { isDecided } from "./segments.ts"
import { sqlCovers } from "./sql-cover.ts"

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

/** Conditions of a tree, all necessary. None: nothing about the tree can be looked up. */
export function coversOf(node: Node): readonly Cover[] {
  switch (node.kind) {
    case "all":
      return node.of.length === 1 ? coversOf(node.of[0]!) : node.of.flatMap(coversOf).map(inexact)
    case "any":
      return eitherCover(node.of.map(coversOf))
    case "not":
      return []
    case "test":
      return testCovers(node.field, node.test)
    case "object":
      return coversOf(node.of).map(({ keys }) => ({ keys: keys.map((key) => within(node.path, key)), exact: false }))
    case "sql":
      return sqlCovers(node.expression)
  }
}

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

function testCovers(field: Field, test: Test): readonly Cover[] {
  if (field.from === "attribute") return toCovers(attributeKeys(test), { from: "attribute", name: field.name }, true)
  return toCovers(dataKeys(test), { from: "data", path: namesOf(field.path) }, field.each)
}

interface Found {
  readonly by: KeyKind
  readonly exact: boolean
}

/** `whole`: the place is looked up just as the test reads it. */
function toCovers(found: Found | undefined, field: KeyField, whole: boolean): readonly Cover[] {
  return found === undefined ? [] : [{ keys: [{ field, by: found.by }], exact: found.exact && whole }]
}

function attributeKeys(test: Test): Found | undefined {
  if (test.is !== "constant") return textKeys(test)
  return test.value === null ? undefined : { by: { kind: "value", value: String(test.value) }, exact: true }
}

function dataKeys(test: Test): Found | undefined {
  switch (test.is) {
    case "constant":
      return { by: { kind: "value", value: test.value }, exact: true }
    case "contains":
      return typeof test.value === "string" ? undefined : { by: { kind: "value", value: test.value }, exact: false }
    case "range":
      if (test.low !== undefined && test.low === test.high) {
        return { by: { kind: "value", value: test.low + 0 }, exact: true }
      }
      return textKeys(test)
    default:
      return textKeys(test)
  }
}

function textKeys(test: Test): Found | undefined {
  switch (test.is) {
    case "text":
      return { by: { kind: "value", value: test.text }, exact: true }
    case "fold":
      return { by: { kind: "fold", text: test.text.toLowerCase() }, exact: true }
    case "prefix":
    case "suffix":
      return test.fold || test.text === "" ? undefined : { by: { kind: test.is, text: test.text }, exact: true }
    case "glob":
      return globKey(test.glob)
    case "path":
      return { by: { kind: "path", segments: test.pattern.segments }, exact: isDecided(test.pattern.segments) }
    case "range":
      return { by: { kind: "range", loose: false, interval: intervalOf(test) }, exact: true }
    default:
      return undefined
  }
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

export function intervalOf({ low, lowOpen, high, highOpen }: RangeTest): Interval {
  return {
    low: (low ?? Number.NEGATIVE_INFINITY) + 0,
    lowOpen: low !== undefined && lowOpen === true,
    high: (high ?? Number.POSITIVE_INFINITY) + 0,
    highOpen: high !== undefined && highOpen === true,
  }
}

/** A place in data without the numbers of elements. */
export function namesOf(path: DataPath): readonly string[] {
  return path.filter((step) => typeof step === "string")
}

function within(path: DataPath, key: Key): Key {
  if (key.field.from === "attribute") return key
  return { ...key, field: { from: "data", path: [...namesOf(path), ...key.field.path] } }
}
