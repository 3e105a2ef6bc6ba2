import { type Attributes, Event } from "../core/event.ts"
import { decodeBase64 } from "../formats/base64.ts"
import { isDeeper } from "../formats/depth.ts"
import { describeLoss, parseWithLosses } from "../formats/exact-json.ts"
import { jsonDepthMax } from "../formats/json-scan.ts"
import { parseMediaType } from "../formats/media-type.ts"
import { jsonKindOf } from "../formats/payload.ts"
import { compileNode } from "./compile.ts"
import { readFilters } from "./parse.ts"
import { describe, type Fault, isObject } from "./reading.ts"
import { placeOf } from "./scanner.ts"
import { evaluateSql, type SqlErrorKind } from "./sql/evaluate.ts"
import type { Node } from "./tree.ts"
import { EventView, type Json } from "./view.ts"

/** One answer of `redcar filter eval`. `value` is what the filter yields, for `sql` of any type. */
export interface Evaluated {
  readonly pass: boolean
  readonly value: Json
  readonly errors: readonly EvaluatedError[]
}

/** Where the error has no place in a text, it is at line 1, column 1. */
export interface EvaluatedError {
  readonly kind: SqlErrorKind
  readonly message: string
  readonly line: number
  readonly column: number
}

/** Characters of a member's path in a message. */
const shownMax = 500

/**
 * One line of `redcar filter eval`: `{"filter":{…one dialect…},"event":{…CloudEvent…}}` in, `{"pass","value","errors"}` out,
 * both JSON texts. Never throws for what a line holds: what cannot be read is answered as an error of kind `parse`.
 */
export function evaluateLine(line: string): string {
  let input: unknown
  try {
    const { value, losses } = parseWithLosses(line)
    const twice = losses.filter(({ kind, path }) => kind === "repeated" && path[0] === "filter")
    if (twice.length > 0) {
      const told = twice.map((loss) => `${loss.path.join(".").slice(0, shownMax)} ${describeLoss(loss, true)}`)
      return JSON.stringify(failed(told))
    }
    input = value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return JSON.stringify(failed([`the line is not JSON: ${error.message}`]))
  }
  return JSON.stringify(evaluateInput(input))
}

/** The same for a line that is parsed already. */
export function evaluateInput(input: unknown): Evaluated {
  if (!isObject(input)) return failed([`a line is an object with filter and event, not ${describe(input)}`])
  const { filter, event, ...others } = input
  const wrong = Object.keys(others).map((name) => `unknown field ${name}; a line has filter and event`)
  if (!isObject(event)) wrong.push(`event must be a CloudEvent in its JSON format, not ${describe(event)}`)
  if (wrong.length > 0) return failed(wrong)
  const read = readFilters([filter])
  if (!read.ok) return { pass: false, value: false, errors: read.faults.map(errorOf) }
  const view = viewOfJson(event as Record<string, unknown>)
  return typeof view === "string" ? failed([view]) : evaluateNode(read.node, view)
}

function evaluateNode(node: Node, view: EventView): Evaluated {
  if (node.kind !== "sql") {
    const pass = compileNode(node)(view)
    return { pass, value: pass, errors: [] }
  }
  const { value, errors } = evaluateSql(node.expression, view)
  const placed = errors.map(({ kind, message, at }) => ({ kind, message, ...placeOf(node.text, at) }))
  return { pass: value === true && errors.length === 0, value, errors: placed }
}

function failed(messages: readonly string[]): Evaluated {
  return {
    pass: false,
    value: false,
    errors: messages.map((message) => ({ kind: "parse", message, line: 1, column: 1 })),
  }
}

function errorOf({ field, message, line = 1, column = 1 }: Fault): EvaluatedError {
  const path = field.replace(/^filters\[0\]/, "filter")
  return { kind: "parse", message: `${path}: ${message}`, line, column }
}

/**
 * A CloudEvent of the JSON format as filters see it, or what is wrong with its data, which means here what it does where
 * events are published. Whether its attributes are valid is not asked: they are its members that are texts, integers and
 * booleans.
 */
export function viewOfJson(json: Readonly<Record<string, unknown>>): EventView | string {
  const attributes: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(json)) {
    if (name === "data" || name === "data_base64") continue
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") attributes[name] = value
  }
  const { data, data_base64: base64, datacontenttype } = json
  const type = typeof datacontenttype === "string" ? parseMediaType(datacontenttype) : undefined
  if (base64 !== undefined && base64 !== null) {
    if (data !== undefined) return "event.data_base64 must not stand beside data"
    return viewOfBase64(attributes, base64, type?.json === true)
  }
  if (data !== undefined && type?.json === false && typeof data !== "string") {
    return "event.data must be a string, for datacontenttype is no JSON type"
  }
  if (isDeeper(data, jsonDepthMax)) return `event.data is nested deeper than ${jsonDepthMax} levels`
  return EventView.withData(Event.of(attributes as Attributes), data as Json | undefined)
}

function viewOfBase64(attributes: Attributes, base64: unknown, json: boolean): EventView | string {
  const data = typeof base64 === "string" ? decodeBase64(base64) : undefined
  if (data === undefined) return "event.data_base64 must be a string in base64, padded"
  const kind = json ? jsonKindOf(data) : "binary"
  if (typeof kind !== "string") return `event.data_base64 ${kind.message}`
  return new EventView(Event.of(attributes, data, kind))
}
