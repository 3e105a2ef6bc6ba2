import type { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { filtersFault, readFilters } from "./parse.ts"
import { compileSql } from "./sql/compile.ts"
import { compileTextTest, compileValueTest } from "./tests.ts"
import type { DataField, Node, ObjectNode, Test, TestNode } from "./tree.ts"
import { compilePath, type DataPath, EventView, isComposite, type Json, memberOf } from "./view.ts"

/** A compiled filter. `object`: what places in data are relative to, within a test of an object. */
export type Predicate = (view: EventView, object?: Json) => boolean

const always: Predicate = () => true

/**
 * Compiles filters, all of which must hold, once; the answer is asked per event, with the event's view where it is to be
 * decided in turns.
 * They must have passed {@link parseFilters}: throws where they have not, for a filter is never skipped.
 */
export function compileFilters(filters: readonly Filter[]): (event: Event, view?: EventView) => boolean {
  const predicate = compileNode(treeOf(filters))
  return predicate === always ? () => true : (event, view = new EventView(event)) => predicate(view)
}

/** The tree of filters that have passed parseFilters; throws where they have not. */
export function treeOf(filters: readonly Filter[]): Node {
  const read = readFilters(filters)
  if (read.ok) return read.node
  throw new TypeError(filtersFault(filters))
}

/** The tree as one closure. `within`: whether places in data are relative to an object rather than to the event's data. */
export function compileNode(node: Node, within = false): Predicate {
  switch (node.kind) {
    case "all":
      return allTrue(node.of.map((part) => compileNode(part, within)))
    case "any":
      return anyTrue(node.of.map((part) => compileNode(part, within)))
    case "not": {
      const of = compileNode(node.of, within)
      return (view, object) => !of(view, object)
    }
    case "test":
      return compileTest(node, within)
    case "object":
      return compileObject(node, within)
    case "sql":
      return compileSql(node.expression)
  }
}

function compileTest({ field, test }: TestNode, within: boolean): Predicate {
  if (field.from === "attribute") return compileAttributeTest(field.name, test)
  return field.each ? compileEach(field, test, within) : compilePlace(field, test, within)
}

/** The three tests that most triggers are made of have closures of their own. */
function compileAttributeTest(name: string, test: Test): Predicate {
  switch (test.is) {
    case "text": {
      const wanted = test.text
      return (view) => view.text(name) === wanted
    }
    case "absent":
      return (view) => view.attribute(name) === undefined
    case "present":
      return (view) => view.attribute(name) !== undefined
    default: {
      const passes = compileTextTest(test)
      return (view) => {
        const text = view.text(name)
        return text !== undefined && passes(text, view)
      }
    }
  }
}

function compilePlace({ path }: DataField, test: Test, within: boolean): Predicate {
  const read = compilePath(path)
  if (test.is === "absent") return (view, object) => read(within ? object : view.data()) === undefined
  const passes = compileValueTest(test)
  return (view, object) => {
    const value = read(within ? object : view.data())
    return value !== undefined && passes(value, view)
  }
}

function compileEach({ path, whole }: DataField, test: Test, inObject: boolean): Predicate {
  const within = inObject && whole !== true
  const absent = test.is === "absent"
  const passes = compileValueTest(absent ? { is: "present" } : test)
  const leaves = new Leaves(path, passes)
  return (view, object) => leaves.some(within ? object : view.data(), 0, view) !== absent
}

/** The values at a path that are not objects or arrays; arrays stand for their elements. */
export class Leaves {
  readonly #path: DataPath
  readonly #passes: ReturnType<typeof compileValueTest>

  constructor(path: DataPath, passes: ReturnType<typeof compileValueTest>) {
    this.#path = path
    this.#passes = passes
  }

  /** Whether any of them passes. */
  some(value: Json | undefined, at: number, view: EventView): boolean {
    if (value === undefined) return false
    if (Array.isArray(value)) {
      return view.some(this, value as readonly Json[], (element) => this.some(element, at, view)) === true
    }
    if (at < this.#path.length) return this.some(memberOf(value, this.#path[at]!), at + 1, view)
    if (isComposite(value)) return false
    if (typeof value === "string") view.spent += value.length
    return this.#passes(value, view)
  }
}

/** Where there is no object at all, `of` is asked of nothing, so that tests for absence hold. */
function compileObject({ path, of }: ObjectNode, within: boolean): Predicate {
  const objects = new Objects(path, compileNode(of, true))
  return (view, object) => objects.some(within ? object : view.data(), 0, view) ?? objects.passes(view, undefined)
}

/** The objects at a path; arrays stand for their elements. */
export class Objects {
  readonly #path: DataPath
  readonly passes: Predicate

  constructor(path: DataPath, passes: Predicate) {
    this.#path = path
    this.passes = passes
  }

  /** Whether any of them passes; undefined where there is none. */
  some(value: Json | undefined, at: number, view: EventView): boolean | undefined {
    if (!isComposite(value)) return undefined
    if (Array.isArray(value)) {
      return view.some(this, value as readonly Json[], (element) => this.some(element, at, view))
    }
    return at < this.#path.length ? this.some(memberOf(value, this.#path[at]!), at + 1, view) : this.passes(view, value)
  }
}

/** All of the predicates as one, the first few without a loop. */
export function allTrue(of: readonly Predicate[]): Predicate {
  const [a, b, c] = of
  if (a === undefined) return always
  if (b === undefined) return a
  if (c === undefined) return (view, object) => a(view, object) && b(view, object)
  if (of.length === 3) return (view, object) => a(view, object) && b(view, object) && c(view, object)
  return (view, object) => {
    for (const predicate of of) if (!predicate(view, object)) return false
    return true
  }
}

function anyTrue(of: readonly Predicate[]): Predicate {
  const [a, b] = of
  if (a !== undefined && b === undefined) return a
  if (a !== undefined && b !== undefined && of.length === 2) return (view, object) => a(view, object) || b(view, object)
  return (view, object) => {
    for (const predicate of of) if (predicate(view, object)) return true
    return false
  }
}
