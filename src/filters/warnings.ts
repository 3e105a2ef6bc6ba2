import type { Filter } from "../core/resources.ts"
import { compareNumeric } from "../formats/decimal.ts"
import { describeField, describeNode } from "./describe.ts"
import { editorSupport } from "./editor.ts"
import { readFilters } from "./parse.ts"
import { scan } from "./scanner.ts"
import type { Node, RangeTest, Test, TestNode } from "./tree.ts"

/** Something that is allowed and surely not meant. */
export interface Warning {
  /** Which filter: `filters[0]`. */
  readonly field: string
  readonly message: string
}

const mixed = "has AND after OR: in CloudEvents SQL they are one level and go from left to right; use parentheses"

const coreAttributes = editorSupport.attributes

/** Names that other systems give to what CloudEvents calls otherwise. */
const strayNames: Readonly<Record<string, string>> = {
  contenttype: "datacontenttype",
  eventtype: "type",
  eventid: "id",
  eventtime: "time",
  timestamp: "time",
  schema: "dataschema",
}

/** What seems not to be meant in filters that have passed parseFilters; nothing in those that have not. */
export function warningsOf(filters: readonly Filter[]): readonly Warning[] {
  const warnings: Warning[] = []
  for (const [index, filter] of filters.entries()) {
    const read = readFilters([filter])
    if (!read.ok) continue
    const messages = new Set<string>()
    collect(read.node, (message) => messages.add(message))
    for (const message of messages) warnings.push({ field: `filters[${index}]`, message })
  }
  const whole = readFilters(filters)
  const clash = whole.ok && filters.length > 1 && whole.node.kind === "all" ? clashOf(whole.node.of) : undefined
  if (clash !== undefined) warnings.push({ field: "filters", message: clash })
  return warnings
}

function collect(node: Node, tell: (message: string) => void): void {
  switch (node.kind) {
    case "all": {
      const clash = clashOf(node.of)
      if (clash !== undefined) tell(clash)
      for (const part of node.of) collect(part, tell)
      break
    }
    case "any":
      for (const part of node.of) collect(part, tell)
      break
    case "not":
    case "object":
      collect(node.of, tell)
      break
    case "test":
      checkTest(node, tell)
      break
    case "sql":
      if (mixesLogic(node.text)) tell(mixed)
  }
}

function checkTest({ field, test }: TestNode, tell: (message: string) => void): void {
  if (field.from !== "attribute") return
  if (field.name === "specversion" && test.is === "text" && test.text !== "1.0") {
    tell(`specversion is ${JSON.stringify(test.text)} can never hold: every event here has 1.0`)
  }
  const meant = test.is === "absent" ? undefined : meantBy(field.name)
  if (meant !== undefined) tell(`tests the extension attribute ${field.name}; was ${meant} meant?`)
}

/** One field that would have to be two texts at once, or in two ranges that share no number. */
function clashOf(parts: readonly Node[]): string | undefined {
  const before = new Map<string, TestNode[]>()
  for (const part of parts) {
    // With `each`, one element of an array may be this and another that.
    if (part.kind !== "test" || (part.field.from === "data" && part.field.each)) continue
    const name = describeField(part.field)
    const others = before.get(name) ?? []
    const other = others.find(({ test }) => exclude(test, part.test))
    if (other !== undefined) return `can never hold: ${describeNode(other)}, and ${describeNode(part)}`
    before.set(name, [...others, part])
  }
  return undefined
}

function exclude(a: Test, b: Test): boolean {
  if (a.is === "text" && b.is === "text") return a.text !== b.text
  if (a.is !== "range" || b.is !== "range") return false
  return isBelow(a, b) || isBelow(b, a)
}

/** Whether one range ends before the other begins. */
function isBelow({ high, highOpen }: RangeTest, { low, lowOpen }: RangeTest): boolean {
  if (high === undefined || low === undefined) return false
  const order = compareNumeric(high, low)
  return order < 0 || (order === 0 && (highOpen === true || lowOpen === true))
}

function meantBy(name: string): string | undefined {
  if (coreAttributes.includes(name)) return undefined
  if (Object.hasOwn(strayNames, name)) return strayNames[name]
  return coreAttributes.find((known) => known.length > 2 && isSlip(name, known))
}

/** Whether one letter is wrong, missing, too many, or two neighbours changed places. */
function isSlip(name: string, known: string): boolean {
  if (Math.abs(name.length - known.length) > 1) return false
  let start = 0
  while (start < name.length && name[start] === known[start]) start++
  const [rest, wanted] = [name.slice(start), known.slice(start)]
  if (rest.length > wanted.length) return rest.slice(1) === wanted
  if (rest.length < wanted.length) return rest === wanted.slice(1)
  if (rest.slice(1) === wanted.slice(1)) return true
  return rest[0] === wanted[1] && rest[1] === wanted[0] && rest.slice(2) === wanted.slice(2)
}

/** Whether an AND follows an OR or XOR with no parentheses between: elsewhere it would bind tighter. */
function mixesLogic(text: string): boolean {
  const levels = [{ or: false }]
  for (const token of scan(text, ["(", ")"])) {
    if (token.kind === "mark" && token.text === "(") levels.push({ or: false })
    else if (token.kind === "mark" && levels.length > 1) levels.pop()
    else if (token.kind !== "word") continue
    else if (/^x?or$/i.test(token.text)) levels.at(-1)!.or = true
    else if (/^and$/i.test(token.text) && levels.at(-1)!.or) return true
  }
  return false
}
