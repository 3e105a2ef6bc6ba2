import type { Trigger } from "../core/resources.ts"
import { allTrue, compileNode, treeOf } from "../filters/compile.ts"
import { skim } from "../filters/skim.ts"
import type { Node } from "../filters/tree.ts"
import type { EventView, Json, Skim } from "../filters/view.ts"
import { coversOf } from "./cover.ts"
import { DataNode, prune, walk, wantedOf } from "./data-tree.ts"
import { FieldIndex } from "./field-index.ts"
import { bestFirst, type Cover, type Key, type KeyField } from "./keys.ts"
import { nothing, type Ref } from "./matching.ts"
import { manyNames, Names } from "./names.ts"
import type { Entry, Matching, Nested, Postings } from "./postings.ts"

/** Covers that one trigger is found by, at most. */
const planMax = 3

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
    repeats: repeatsOf(plan),
  }
}

function repeatsOf(plan: readonly Cover[]): Entry["repeats"] {
  if (plan.some(({ keys }) => keys.length > 1)) return "always"
  return plan.some(({ keys }) => keys[0]!.field.from === "data") ? "in arrays" : "never"
}

/** What must all hold, each by itself. */
function partsOf(node: Node): readonly Node[] {
  return node.kind === "all" ? node.of.flatMap(partsOf) : [node]
}

/** Triggers by what must be true of an event to fire them. Adding and removing take time in the trigger's own keys only. */
export class TriggerIndex implements Nested {
  readonly #postings: Postings
  readonly #depth: number
  readonly #attributes = new Names<FieldIndex>()
  readonly #data = new DataNode()
  #skim: Skim | undefined
  #skimIsOld = true
  #rest: Ref = nothing
  #size = 0

  /** `depth`: which of its covers a trigger is found by here. */
  constructor(postings: Postings, depth = 0) {
    this.#postings = postings
    this.#depth = depth
  }

  get empty(): boolean {
    return this.#size === 0
  }

  add(entry: Ref): void {
    this.#size++
    const postings = this.#postings
    const cover = postings.planOf(entry)[this.#depth]
    if (cover === undefined) this.#rest = postings.with(this.#rest, entry)
    else for (const key of distinctKeys(cover.keys)) this.#addTo(key, entry)
  }

  #addTo({ field, by }: Key, entry: Ref): void {
    const fields = this.#ensureField(field)
    const before = fields.get(by)
    const after = this.#postings.with(before, entry, this.#depth)
    if (after !== before) fields.set(by, after)
  }

  remove(entry: Ref): void {
    this.#size--
    const cover = this.#postings.planOf(entry)[this.#depth]
    if (cover === undefined) this.#rest = this.#postings.without(this.#rest, entry)
    else for (const key of distinctKeys(cover.keys)) this.#removeFrom(key, entry)
  }

  #removeFrom({ field, by }: Key, entry: Ref): void {
    const fields = this.#ensureField(field)
    const before = fields.get(by)
    const after = this.#postings.without(before, entry)
    if (after === before) return
    fields.set(by, after)
    if (!fields.empty) return
    if (field.from === "attribute") this.#attributes.delete(field.name)
    else {
      prune(this.#data, field.path)
      this.#skimIsOld = true
    }
  }

  #ensureField(field: KeyField): FieldIndex {
    if (field.from === "attribute") return this.#attributes.ensure(field.name, () => this.#makeField())
    let node = this.#data
    for (const name of field.path) {
      node.children ??= new Names()
      node = node.children.ensure(name, () => new DataNode())
    }
    if (node.fields === undefined) {
      node.fields = this.#makeField()
      this.#skimIsOld = true
    }
    return node.fields
  }

  #makeField(): FieldIndex {
    return new FieldIndex(this.#postings.texts)
  }

  collect(matching: Matching): void {
    if (this.#rest !== nothing) matching.take(this.#rest)
    this.#collectAttributes(matching)
    if (this.#data.bare) return
    const data = this.#read(matching.view)
    if (data !== undefined) walk(this.#data, data, matching)
  }

  /** The data, in as far as there are keys for it. */
  #read(view: EventView): Json | undefined {
    if (!this.#postings.skimming.pays) return view.data()
    if (this.#skimIsOld) {
      const wanted = wantedOf(this.#data)
      this.#skim = wanted && ((json) => skim(json, wanted))
      this.#skimIsOld = false
    }
    return this.#skim === undefined ? view.data() : view.skimmed(this.#skim)
  }

  #collectAttributes(matching: Matching): void {
    const { view } = matching
    const attributes = this.#attributes
    if (attributes.size > manyNames) {
      for (const name of Object.keys(view.event.attributes)) {
        attributes.get(name)?.collectAttribute(view.attribute(name)!, matching)
      }
      return
    }
    for (let at = 0; at < attributes.size; at++) {
      const value = view.attribute(attributes.names[at]!)
      if (value !== undefined) attributes.items[at]!.collectAttribute(value, matching)
    }
  }
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
