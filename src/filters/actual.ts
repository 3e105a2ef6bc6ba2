import { compileNode, Leaves, Objects } from "./compile.ts"
import { compileValueTest } from "./tests.ts"
import type { DataField, ObjectNode, TestNode } from "./tree.ts"
import { type DataPath, type EventView, isComposite, type Json, memberOf } from "./view.ts"

/** What an event has where a clause looks, as far as it decided what the clause came to. */
export interface Actual {
  readonly actual?: Json
  /** The event has nothing there. */
  readonly absent?: true
  /** `actual` is an array of values, none of which the clause holds for. */
  readonly several?: true
  /** `actual` is an object or an array without values, where the clause is about values. */
  readonly empty?: true
}

/** What decided a clause. `value`: what it came to. */
export function compileActual(node: TestNode | ObjectNode): (view: EventView, value: boolean) => Actual {
  if (node.kind === "object") return objectActual(node)
  const { field } = node
  if (field.from === "attribute") return (view) => one(view.attribute(field.name))
  if (field.each) return eachActual(field, node)
  return (view) => one(field.path.reduce<Json | undefined>(memberOf, view.data()))
}

function one(value: Json | undefined): Actual {
  return value === undefined ? { absent: true } : { actual: value }
}

/** Of values in arrays: the one for which the test holds, or those for which it does not. */
function eachActual({ path }: DataField, { test }: TestNode): (view: EventView, value: boolean) => Actual {
  const isAbsence = test.is === "absent"
  const passes = compileValueTest(isAbsence ? { is: "present" } : test)
  let found: Json | undefined
  const leaves = new Leaves(path, (leaf, work) => {
    const holds = passes(leaf, work)
    if (holds) found = leaf
    return holds
  })
  return (view, value) => {
    const data = view.data()
    if (value !== isAbsence && leaves.some(data, 0, view)) return { actual: found! }
    return noneOf(data, path, (each) => !isComposite(each))
  }
}

function objectActual({ path, of }: ObjectNode): (view: EventView, value: boolean) => Actual {
  const passes = compileNode(of, true)
  let found: Json | undefined
  const objects = new Objects(path, (view, object) => {
    const holds = passes(view, object)
    if (holds) found = object
    return holds
  })
  return (view, value) => {
    const data = view.data()
    if (value && objects.some(data, 0, view)) return { actual: found! }
    return noneOf(data, path, (each) => isComposite(each) && !Array.isArray(each))
  }
}

/** Values that are shown of those for which a clause does not hold, and elements that are looked at for them. */
const [shownMax, lookedAtMax] = [20, 1_000]

/** The values at a path that are such as a clause asks of, none of which it holds for. */
function noneOf(data: Json | undefined, path: DataPath, isSuch: (value: Json) => boolean): Actual {
  const such: Json[] = []
  let other: Json | undefined
  let looked = 0
  const look = (value: Json | undefined, at: number): void => {
    if (value === undefined || such.length === shownMax || ++looked > lookedAtMax) return
    const isArray = Array.isArray(value)
    if (isArray) for (const each of value as readonly Json[]) look(each, at)
    if (isArray && value.length > 0) return
    if (at < path.length) {
      if (!isArray) look(memberOf(value, path[at]!), at + 1)
    } else if (isSuch(value)) such.push(value)
    else other ??= value
  }
  look(data, 0)
  if (such.length === 1) return { actual: such[0]! }
  if (such.length > 1) return { actual: such, several: true }
  if (other !== undefined) return { actual: other, empty: true }
  return looked > lookedAtMax ? {} : { absent: true }
}
