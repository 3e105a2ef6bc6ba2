import type { Trigger } from "../core/resources.ts"
import { allTrue, compileNode, type Predicate, treeOf } from "../filters/compile.ts"
import type { Node } from "../filters/tree.ts"
import type { Json } from "../filters/view.ts"
import { coversOf } from "./cover.ts"
import { FieldIndex } from "./field-index.ts"
import { bestFirst, type Cover, type Key } from "./keys.ts"
import type { Matching, Slot } from "./matching.ts"

/** A trigger in an index. */
export interface Entry {
  readonly trigger: Trigger
  /** By what it is found: the first cover at the top, the next ones where many triggers share a key. */
  readonly plan: readonly Cover[]
  /** What finding it does not prove yet; undefined where there is nothing. */
  readonly check: Predicate | undefined
  /** It may be met more than once on an event's way. */
  readonly repeats: boolean
  /** The last event that met it. */
  seen: number
  /** Where it is in the list that holds it; a hint only, for it may be in several. */
  at: number
}

/** Covers that one trigger is found by, at most. */
const planMax = 3

/** Entries under one key before they are told apart by their next cover. */
const splitAt = 16

/** A trigger's filters, read and compiled for the index. Throws where they do not check. */
export function entryOf(trigger: Trigger): Entry {
  const node = treeOf(trigger.filters)
  const parts = partsOf(node).map((part) => ({ part, covers: coversOf(part) }))
  const plan = bestFirst(parts.flatMap(({ covers }) => covers)).slice(0, planMax)
  const proven = parts.find(({ covers }) => covers.length === 1 && covers[0] === plan[0] && covers[0]?.exact)
  const left = parts.filter((each) => each !== proven).map(({ part }) => compileNode(part))
  return {
    trigger,
    plan,
    check: left.length === 0 ? undefined : allTrue(left),
    repeats: plan.some(({ keys }) => keys.length > 1 || keys[0]!.field.from === "data"),
    seen: 0,
    at: 0,
  }
}

/** What must all hold, each by itself. */
function partsOf(node: Node): readonly Node[] {
  return node.kind === "all" ? node.of.flatMap(partsOf) : [node]
}

/** Triggers by what must be true of an event to fire them. Adding and removing take time in the trigger's own keys only. */
export class TriggerIndex {
  readonly #attributes = new Map<string, FieldIndex<Branch>>()
  readonly #data: DataNode = { children: new Map(), fields: undefined }
  readonly #rest: Entry[] = []
  readonly #depth: number
  #size = 0

  /** `depth`: which of its covers a trigger is found by here. */
  constructor(depth = 0) {
    this.#depth = depth
  }

  get empty(): boolean {
    return this.#size === 0
  }

  add(entry: Entry): void {
    this.#size++
    const cover = entry.plan[this.#depth]
    if (cover === undefined) push(this.#rest, entry)
    else for (const key of distinctKeys(cover.keys)) this.#branchOf(key).add(entry)
  }

  #branchOf(key: Key): Branch {
    const fields = this.#ensureField(key)
    let branch = fields.get(key.by)
    if (branch === undefined) {
      branch = new Branch(this.#depth)
      fields.add(key.by, branch)
    }
    return branch
  }

  remove(entry: Entry): void {
    this.#size--
    const cover = entry.plan[this.#depth]
    if (cover === undefined) pull(this.#rest, entry)
    else for (const key of distinctKeys(cover.keys)) this.#removeFrom(key, entry)
  }

  #removeFrom(key: Key, entry: Entry): void {
    const fields = this.#ensureField(key)
    const branch = fields.get(key.by)!
    branch.remove(entry)
    if (!branch.empty) return
    fields.delete(key.by)
    if (fields.empty) this.#deleteField(key)
  }

  collect(matching: Matching): void {
    take(this.#rest, matching)
    const { view } = matching
    for (const [name, fields] of this.#attributes) {
      const value = view.attribute(name)
      if (value !== undefined) fields.collectAttribute(value, matching)
    }
    if (this.#data.children.size > 0 || this.#data.fields !== undefined) {
      const data = view.data()
      if (data !== undefined) walk(this.#data, data, matching)
    }
  }

  #ensureField({ field }: Key): FieldIndex<Branch> {
    if (field.from === "attribute") {
      let fields = this.#attributes.get(field.name)
      if (fields === undefined) {
        fields = new FieldIndex()
        this.#attributes.set(field.name, fields)
      }
      return fields
    }
    let node = this.#data
    for (const name of field.path) {
      let child = node.children.get(name)
      if (child === undefined) {
        child = { children: new Map(), fields: undefined }
        node.children.set(name, child)
      }
      node = child
    }
    node.fields ??= new FieldIndex()
    return node.fields
  }

  #deleteField({ field }: Key): void {
    if (field.from === "attribute") this.#attributes.delete(field.name)
    else prune(this.#data, field.path, 0)
  }
}

/** What is under one key: a list, until it is long and its triggers differ in something else. */
class Branch implements Slot {
  readonly #depth: number
  #list: Entry[] = []
  #index: TriggerIndex | undefined

  constructor(depth: number) {
    this.#depth = depth
  }

  get empty(): boolean {
    return this.#list.length === 0 && this.#index?.empty !== false
  }

  add(entry: Entry): void {
    if (this.#index !== undefined) {
      this.#index.add(entry)
      return
    }
    push(this.#list, entry)
    if (this.#list.length > splitAt && entry.plan.length > this.#depth + 1) {
      const index = new TriggerIndex(this.#depth + 1)
      for (const each of this.#list) index.add(each)
      this.#index = index
      this.#list = []
    }
  }

  remove(entry: Entry): void {
    if (this.#index === undefined) pull(this.#list, entry)
    else this.#index.remove(entry)
  }

  collect(matching: Matching): void {
    if (this.#index === undefined) take(this.#list, matching)
    else this.#index.collect(matching)
  }
}

/** A place in data under which keys are. */
interface DataNode {
  readonly children: Map<string, DataNode>
  fields: FieldIndex<Branch> | undefined
}

/** Looks up each value at a place that some key is for; arrays stand for their elements. */
function walk(node: DataNode, value: Json, matching: Matching): void {
  if (typeof value !== "object" || value === null) {
    node.fields?.collectValue(value, matching)
    return
  }
  if (Array.isArray(value)) {
    for (const element of value as readonly Json[]) walk(node, element, matching)
    return
  }
  const object = value as { readonly [name: string]: Json }
  if (node.children.size > manyChildren) {
    for (const name of Object.keys(object)) {
      const child = node.children.get(name)
      if (child !== undefined) walk(child, object[name]!, matching)
    }
    return
  }
  for (const [name, child] of node.children) {
    if (Object.hasOwn(object, name)) walk(child, object[name]!, matching)
  }
}

/** Beyond this many known names an object's own names are the shorter list, mostly. */
const manyChildren = 16

function prune(node: DataNode, path: readonly string[], at: number): void {
  const name = path[at]
  if (name === undefined) {
    node.fields = undefined
    return
  }
  const child = node.children.get(name)!
  prune(child, path, at + 1)
  if (child.children.size === 0 && child.fields === undefined) node.children.delete(name)
}

/** A key that a cover names twice is one place. */
function distinctKeys(keys: readonly Key[]): readonly Key[] {
  if (keys.length === 1) return keys
  return [...new Map(keys.map((key) => [keyText(key), key])).values()]
}

/** JSON has no infinite numbers, so a range's limits are spelled out. */
function keyText({ field, by }: Key): string {
  const kind = by.kind === "range" ? [by.kind, by.loose, ...Object.values(by.interval).map(String)] : by
  return JSON.stringify([field, kind])
}

function push(list: Entry[], entry: Entry): void {
  entry.at = list.length
  list.push(entry)
}

function pull(list: Entry[], entry: Entry): void {
  const at = list[entry.at] === entry ? entry.at : list.indexOf(entry)
  const last = list.pop()!
  if (last === entry) return
  list[at] = last
  last.at = at
}

function take(list: readonly Entry[], matching: Matching): void {
  for (let at = 0; at < list.length; at++) {
    const entry = list[at]!
    if (entry.repeats) {
      if (entry.seen === matching.serial) continue
      entry.seen = matching.serial
    }
    if (entry.check === undefined || entry.check(matching.view)) matching.found.push(entry.trigger)
  }
}
