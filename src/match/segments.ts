import { isOneRun, type PathSegment } from "../filters/path/pattern.ts"
import { hashText } from "./hashing.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Table } from "./table.ts"
import type { Texts } from "./texts.ts"

interface SegmentNode {
  /** By a segment's text, the number of the node that follows. */
  literal: Table | undefined
  /** Any segment that is not empty. */
  star: SegmentNode | undefined
  /** Any segment: its own wildcards are left to the trigger's check. */
  wild: SegmentNode | undefined
  /** Patterns that end here. */
  end: Ref
  /** Patterns that go on with `**` here: whatever follows is a candidate. */
  deep: Ref
}

/** Refs by path pattern: a tree of segments. */
export class Segments {
  readonly #texts: Texts
  readonly #root = makeNode()
  /** Nodes that a literal leads to, by number above 0. */
  readonly #nodes: (SegmentNode | undefined)[] = [undefined]
  readonly #free: number[] = []

  constructor(texts: Texts) {
    this.#texts = texts
  }

  get empty(): boolean {
    return isBare(this.#root)
  }

  get(segments: readonly PathSegment[]): Ref {
    let node: SegmentNode | undefined = this.#root
    for (const segment of segments) {
      if (segment === "deep") return node.deep
      node = this.#childOf(node, stepOf(segment))
      if (node === undefined) return nothing
    }
    return node.end
  }

  set(segments: readonly PathSegment[], ref: Ref): void {
    if (ref === nothing) {
      this.#remove(this.#root, segments, 0)
      return
    }
    let node = this.#root
    for (const segment of segments) {
      if (segment === "deep") {
        node.deep = ref
        return
      }
      node = this.#ensureChild(node, stepOf(segment))
    }
    node.end = ref
  }

  collect(text: string, into: Collector): void {
    this.#walk(this.#root, text, 0, into)
  }

  /** `from`: where the next segment begins; one beyond the text's end where there is none. */
  #walk(node: SegmentNode, text: string, from: number, into: Collector): void {
    if (node.deep !== nothing) into.take(node.deep)
    if (from > text.length) {
      if (node.end !== nothing) into.take(node.end)
      return
    }
    const slash = text.indexOf("/", from)
    const to = slash < 0 ? text.length : slash
    if (node.literal !== undefined) {
      const number = node.literal.get(hashText(text, from, to), text, from, to - from)
      if (number !== nothing) this.#walk(this.#nodes[number]!, text, to + 1, into)
    }
    if (node.star !== undefined && to > from) this.#walk(node.star, text, to + 1, into)
    if (node.wild !== undefined) this.#walk(node.wild, text, to + 1, into)
  }

  #childOf(node: SegmentNode, step: Step): SegmentNode | undefined {
    return step.kind === "literal" ? this.#nodes[numberOf(node, step.text)] : node[step.kind]
  }

  #ensureChild(node: SegmentNode, step: Step): SegmentNode {
    const known = this.#childOf(node, step)
    if (known !== undefined) return known
    const made = makeNode()
    if (step.kind !== "literal") node[step.kind] = made
    else {
      const number = this.#free.pop() ?? this.#nodes.length
      this.#nodes[number] = made
      node.literal ??= new Table(this.#texts)
      node.literal.set(hashText(step.text), step.text, number)
    }
    return made
  }

  #remove(node: SegmentNode, segments: readonly PathSegment[], at: number): void {
    const segment = segments[at]
    if (segment === undefined) node.end = nothing
    else if (segment === "deep") node.deep = nothing
    else {
      const step = stepOf(segment)
      const child = this.#childOf(node, step)
      if (child === undefined) return
      this.#remove(child, segments, at + 1)
      if (isBare(child)) this.#detach(node, step)
    }
  }

  #detach(node: SegmentNode, step: Step): void {
    if (step.kind !== "literal") {
      node[step.kind] = undefined
      return
    }
    const number = numberOf(node, step.text)
    this.#nodes[number] = undefined
    this.#free.push(number)
    node.literal!.set(hashText(step.text), step.text, nothing)
    if (node.literal!.size === 0) node.literal = undefined
  }
}

function numberOf({ literal }: SegmentNode, text: string): number {
  return literal?.get(hashText(text), text) ?? nothing
}

function makeNode(): SegmentNode {
  return { literal: undefined, star: undefined, wild: undefined, end: nothing, deep: nothing }
}

function isBare(node: SegmentNode): boolean {
  return (
    node.literal === undefined &&
    node.star === undefined &&
    node.wild === undefined &&
    node.end === nothing &&
    node.deep === nothing
  )
}

type Step = { readonly kind: "literal"; readonly text: string } | { readonly kind: "star" | "wild" }

function stepOf(segment: Exclude<PathSegment, "deep">): Step {
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
