import { isOneRun, type PathSegment } from "../filters/path/pattern.ts"
import type { Matching, Slot } from "./matching.ts"

interface SegmentNode<S> {
  readonly literal: Map<string, SegmentNode<S>>
  /** Any segment that is not empty. */
  star: SegmentNode<S> | undefined
  /** Any segment: its own wildcards are left to the trigger's check. */
  wild: SegmentNode<S> | undefined
  /** Patterns that end here. */
  end: S | undefined
  /** Patterns that go on with `**` here: whatever follows is a candidate. */
  deep: S | undefined
}

/** Slots by path pattern: a tree of segments. */
export class Segments<S extends Slot> {
  #root: SegmentNode<S> = makeNode()

  get empty(): boolean {
    return isBare(this.#root)
  }

  get(segments: readonly PathSegment[]): S | undefined {
    let node: SegmentNode<S> | undefined = this.#root
    for (const segment of segments) {
      if (segment === "deep") return node.deep
      node = childOf(node, segment)
      if (node === undefined) return undefined
    }
    return node.end
  }

  add(segments: readonly PathSegment[], slot: S): void {
    let node = this.#root
    for (const segment of segments) {
      if (segment === "deep") {
        node.deep = slot
        return
      }
      node = ensureChild(node, segment)
    }
    node.end = slot
  }

  delete(segments: readonly PathSegment[]): void {
    remove(this.#root, segments, 0)
  }

  collect(text: string, matching: Matching): void {
    walk(this.#root, text.split("/"), 0, matching)
  }
}

function walk<S extends Slot>(node: SegmentNode<S>, parts: readonly string[], at: number, matching: Matching): void {
  node.deep?.collect(matching)
  if (at === parts.length) {
    node.end?.collect(matching)
    return
  }
  const part = parts[at]!
  const literal = node.literal.get(part)
  if (literal !== undefined) walk(literal, parts, at + 1, matching)
  if (node.star !== undefined && part !== "") walk(node.star, parts, at + 1, matching)
  if (node.wild !== undefined) walk(node.wild, parts, at + 1, matching)
}

function makeNode<S>(): SegmentNode<S> {
  return { literal: new Map(), star: undefined, wild: undefined, end: undefined, deep: undefined }
}

function isBare<S>(node: SegmentNode<S>): boolean {
  return (
    node.literal.size === 0 &&
    node.star === undefined &&
    node.wild === undefined &&
    node.end === undefined &&
    node.deep === undefined
  )
}

type Step = { readonly kind: "literal"; readonly text: string } | { readonly kind: "star" | "wild" }

function stepOf(segment: PathSegment): Step {
  if (isOneRun(segment)) return { kind: "star" }
  if (segment.length === 0) return { kind: "literal", text: "" }
  if (segment.length === 1 && typeof segment[0] === "string") return { kind: "literal", text: segment[0] }
  return { kind: "wild" }
}

/** Whether the tree alone decides this pattern. */
export function isDecided(segments: readonly PathSegment[]): boolean {
  return segments.every((segment, at) =>
    segment === "deep" ? at === segments.length - 1 : stepOf(segment).kind !== "wild",
  )
}

function childOf<S>(node: SegmentNode<S>, segment: PathSegment): SegmentNode<S> | undefined {
  const step = stepOf(segment)
  return step.kind === "literal" ? node.literal.get(step.text) : node[step.kind]
}

function ensureChild<S>(node: SegmentNode<S>, segment: PathSegment): SegmentNode<S> {
  const known = childOf(node, segment)
  if (known !== undefined) return known
  const made = makeNode<S>()
  const step = stepOf(segment)
  if (step.kind === "literal") node.literal.set(step.text, made)
  else node[step.kind] = made
  return made
}

function remove<S>(node: SegmentNode<S>, segments: readonly PathSegment[], at: number): void {
  const segment = segments[at]
  if (segment === undefined) node.end = undefined
  else if (segment === "deep") node.deep = undefined
  else {
    const child = childOf(node, segment)!
    remove(child, segments, at + 1)
    if (!isBare(child)) return
    const step = stepOf(segment)
    if (step.kind === "literal") node.literal.delete(step.text)
    else node[step.kind] = undefined
  }
}
