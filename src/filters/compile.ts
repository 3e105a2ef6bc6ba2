import type { Event } from "../core/event.ts"
import type { Filter } from "../core/resources.ts"
import { readFilters } from "./parse.ts"
import { compileSql } from "./sql/compile.ts"
import { compileTextTest, compileValueTest } from "./tests.ts"
import type { DataField, Node, ObjectNode, Test, TestNode } from "./tree.ts"
import { compilePath, type DataPath, EventView, type Json, memberOf } from "./view.ts"

/** A compiled filter. `object`: what places in data are relative to, within a test of an object. */
export type Predicate = (view: EventView, object?: Json) => boolean

const always: Predicate = () => true

/**
 * Compiles filters, all of which must hold, once; the answer is asked per event.
 * They must have passed {@link parseFilters}: throws where they have not, for a filter is never skipped.
 */
export function compileFilters(filters: readonly Filter[]): (event: Event) => boolean {
  const predicate = compileNode(treeOf(filters))
  return predicate === always ? () => true : (event) => predicate(new EventView(event))
}

/** The tree of filters that have passed parseFilters; throws where they have not. */
export function treeOf(filters: readonly Filter[]): Node {
  const read = readFilters(filters)
  if (read.ok) return read.node
  const fault = read.faults[0]
  throw new TypeError(`stored filters do not check: ${fault?.field}: ${fault?.message}`)
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
        return text !== undefined && passes(text)
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
    return value !== undefined && passes(value)
  }
}

function compileEach({ path, whole }: DataField, test: Test, inObject: boolean): Predicate {
  const within = inObject && whole !== true
  const absent = test.is === "absent"
  const passes = compileValueTest(absent ? { is: "present" } : test)
  return (view, object) => someLeaf(within ? object : view.data(), path, 0, passes) !== absent
}

/** Whether any value at the path passes that is not an object or an array; arrays stand for their elements. */
function someLeaf(value: Json | undefined, path: DataPath, at: number, passes: (leaf: Json) => boolean): boolean {
  if (value === undefined) return false
  if (Array.isArray(value)) return (value as readonly Json[]).some((element) => someLeaf(element, path, at, passes))
  if (at < path.length) return someLeaf(memberOf(value, path[at]!), path, at + 1, passes)
  return (typeof value !== "object" || value === null) && passes(value)
}

/** Where there is no object at all, `of` is asked of nothing, so that tests for absence hold. */
function compileObject({ path, of }: ObjectNode, within: boolean): Predicate {
  const passes = compileNode(of, true)
  return (view, object) => {
    const root = within ? object : view.data()
    const found = someObject(root, path, 0, (candidate) => passes(view, candidate))
    return found ?? passes(view, undefined)
  }
}

/** Whether any object at the path passes; undefined where there is none. */
function someObject(
  value: Json | undefined,
  path: DataPath,
  at: number,
  passes: (object: Json) => boolean,
): boolean | undefined {
  if (typeof value !== "object" || value === null) return undefined
  if (Array.isArray(value)) {
    let found: boolean | undefined
    for (const element of value as readonly Json[]) {
      found = someObject(element, path, at, passes) ?? found
      if (found) return true
    }
    return found
  }
  return at < path.length ? someObject(memberOf(value, path[at]!), path, at + 1, passes) : passes(value)
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
