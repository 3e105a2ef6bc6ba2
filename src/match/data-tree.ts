import { type Wanted, type WantedMember, wantedMember } from "../filters/skim.ts"
import type { Json } from "../filters/view.ts"
import { Decimal } from "../formats/decimal.ts"
import type { FieldIndex } from "./field-index.ts"
import { manyNames, type Names } from "./names.ts"
import type { Matching } from "./postings.ts"

/** A place in data under which keys are. */
export class DataNode {
  children: Names<DataNode> | undefined
  fields: FieldIndex | undefined

  get bare(): boolean {
    return this.children === undefined && this.fields === undefined
  }
}

/** Looks up each value at a place that some key is for; arrays stand for their elements. */
export function walk(node: DataNode, value: Json, matching: Matching): void {
  if (typeof value !== "object" || value === null || value instanceof Decimal) {
    node.fields?.collectValue(value, matching)
    return
  }
  if (Array.isArray(value)) {
    matching.arrays++
    for (const element of value as readonly Json[]) walk(node, element, matching)
    matching.arrays--
    return
  }
  const { children } = node
  if (children === undefined) return
  const object = value as { readonly [name: string]: Json }
  if (children.size > manyNames) {
    for (const name of Object.keys(object)) {
      const child = children.get(name)
      if (child !== undefined) walk(child, object[name]!, matching)
    }
    return
  }
  for (let at = 0; at < children.size; at++) {
    const name = children.names[at]!
    if (Object.hasOwn(object, name)) walk(children.items[at]!, object[name]!, matching)
  }
}

/** Removes the keys of a place, and the places on the way to it that nothing needs any more. */
export function prune(node: DataNode, path: readonly string[], at = 0): void {
  const name = path[at]
  if (name === undefined) {
    node.fields = undefined
    return
  }
  const child = node.children!.get(name)!
  prune(child, path, at + 1)
  if (!child.bare) return
  node.children!.delete(name)
  if (node.children!.size === 0) node.children = undefined
}

/** Members that are wanted of one event's data, at most. */
const wantedMax = 64

/** What of an event's data has keys; undefined where that is too much, or cannot be told apart, for skimming to pay. */
export function wantedOf(node: DataNode, budget = { left: wantedMax }): Wanted | undefined {
  const { children } = node
  if (children === undefined || children.size > budget.left) return undefined
  budget.left -= children.size
  const members: WantedMember[] = []
  for (let at = 0; at < children.size; at++) {
    const child = children.items[at]!
    const of = child.children === undefined ? undefined : wantedOf(child, budget)
    const member = wantedMember(children.names[at]!, of)
    if (member === undefined || (of === undefined && child.children !== undefined)) return undefined
    members.push(member)
  }
  return { members }
}
