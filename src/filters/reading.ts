import { Decimal, isNumeric } from "../formats/decimal.ts"
import { describeLoss } from "../formats/exact-json.ts"
import { limits } from "./limits.ts"
import type { Node } from "./tree.ts"

/** One thing that is wrong with a filter. */
export interface Fault {
  /** Where, as a path into the input: `filters[0].all[1].exact.type`. */
  readonly field: string
  /** What is wrong and what to do, for people. */
  readonly message: string
  /** In a filter that is text: the place in it, both from 1; columns count characters. */
  readonly line?: number
  readonly column?: number
  /** What stands there. */
  readonly found?: string
  /** What could stand there. */
  readonly expected?: string
}

/** One filter language: how the value under its name becomes a tree. */
export interface Dialect {
  readonly name: string
  /** The tree of `value`; undefined where something is wrong, which has then been told to `reading`. */
  read(value: unknown, field: string, reading: Reading): Node | undefined
}

/** One pass over an array of filters: collects every fault and keeps the limits. */
export class Reading {
  readonly faults: Fault[] = []
  readonly #dialects: ReadonlyMap<string, Dialect>
  #nodes = 0
  #depth = 0

  constructor(dialects: ReadonlyMap<string, Dialect>) {
    this.#dialects = dialects
  }

  /** Notes a fault. Answers undefined, so that a reader can return it. */
  fault(field: string, message: string, place: Omit<Fault, "field" | "message"> = {}): undefined {
    if (this.faults.length < limits.faultsMax) this.faults.push({ field, message, ...place })
    return undefined
  }

  /** Counts clauses against the limit; false, once told as a fault, when there are too many. */
  count(field: string, clauses = 1): boolean {
    const before = this.#nodes
    this.#nodes += clauses
    if (this.#nodes <= limits.nodesMax) return true
    if (before <= limits.nodesMax) this.fault(field, `more than ${limits.nodesMax} clauses in all; use fewer`)
    return false
  }

  /** Whether there is no room for more faults, or too many clauses: nothing that is read now changes the answer. */
  get full(): boolean {
    return this.faults.length >= limits.faultsMax || this.#nodes > limits.nodesMax
  }

  /** What `read` makes of each item; undefined where it makes nothing of any. Ends early where it is full. */
  each<Item, Read>(items: Iterable<Item>, read: (item: Item, index: number) => Read | undefined): Read[] | undefined {
    const all: Read[] = []
    let index = 0
    for (const item of items) {
      if (this.full) return undefined
      const one = read(item, index++)
      if (one !== undefined) all.push(one)
    }
    return all.length === index ? all : undefined
  }

  /** A filter object: exactly one dialect. */
  filter(value: unknown, field: string): Node | undefined {
    if (!isObject(value)) return this.fault(field, `a filter is an object with one dialect, not ${describe(value)}`)
    if (!this.count(field)) return undefined
    const names = Object.keys(value)
    if (names.length === 0) return this.fault(field, `names no dialect; give one of ${this.#known()}`)
    if (names.length > 1) {
      const some = names.slice(0, 8).map((name) => name.slice(0, shownMax))
      const list = names.length > some.length ? `${some.join(", ")}, …` : some.join(", ")
      this.fault(field, `has ${names.length} dialects (${list}); give each its own filter`)
    }
    const nodes = this.each(names, (name) => this.#read(name, value[name], field))
    return names.length === 1 ? nodes?.[0] : undefined
  }

  #read(name: string, value: unknown, field: string): Node | undefined {
    const dialect = this.#dialects.get(name)
    if (dialect === undefined) return this.fault(member(field, name), `unknown dialect; known are ${this.#known()}`)
    return this.nested(field, () => dialect.read(value, member(field, name), this))
  }

  /** Runs `read` one level deeper; past the limit notes a fault and answers undefined. */
  nested<T>(field: string, read: () => T): T | undefined {
    if (this.#depth >= limits.depthMax) {
      return this.fault(field, `filters are nested more than ${limits.depthMax} deep`)
    }
    this.#depth++
    const result = read()
    this.#depth--
    return result
  }

  /** The filters of an array, each read; undefined where any is wrong. */
  filters(value: readonly unknown[], field: string): readonly Node[] | undefined {
    return this.each(value, (item, index) => this.filter(item, `${field}[${index}]`))
  }

  /** A text within the limit and not empty; otherwise a fault. */
  text(value: unknown, field: string): value is string {
    if (typeof value !== "string") this.fault(field, `must be a string, not ${describe(value)}`)
    else if (value === "") this.fault(field, "must not be empty")
    else if (value.length > limits.textCharactersMax) {
      this.fault(field, `is longer than ${limits.textCharactersMax} characters`)
    } else return true
    return false
  }

  /** A number that is the same when it has been saved as JSON and read again; otherwise a fault. */
  number(value: unknown, field: string): value is number {
    if (typeof value === "number" && Number.isFinite(value)) return true
    if (!isNumeric(value)) this.fault(field, `must be a number, not ${describe(value)}`)
    else this.fault(field, describeLoss({ kind: "number", text: String(value) }, true))
    return false
  }

  /** A name that a context attribute can have; otherwise a fault. */
  attributeName(name: string, field: string): boolean {
    if (name === "data") this.fault(field, "is not an attribute; filter on data with sql, pattern or query")
    else if (!isAttributeName(name)) this.fault(field, "is not an attribute's name, which is made of a-z and 0-9")
    else return true
    return false
  }

  /** The fault of a name that is too long. */
  longName(field: string): undefined {
    return this.fault(field, `is a name of more than ${limits.nameCharactersMax} characters; use a shorter one`)
  }

  #known(): string {
    return [...this.#dialects.keys()].join(", ")
  }
}

const attributeName = /^[a-z0-9]{1,256}$/

/** Whether CloudEvents allows an attribute of this name. */
export function isAttributeName(name: string): boolean {
  return attributeName.test(name) && name !== "data"
}

/** Whether this is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Decimal)
}

/** A value's kind, for messages. */
export function describe(value: unknown): string {
  if (value === null) return "null"
  if (value === undefined) return "nothing"
  if (value instanceof Decimal) return "a number"
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array"
  const kind = typeof value
  return kind === "object" ? "an object" : kind === "string" ? "a string" : `a ${kind}`
}

/** Characters of a name that a field's path shows: a name that has more is long by mistake. */
const shownMax = 256

/** The path of an object's member. */
export function member(field: string, name: string): string {
  if (name.length > shownMax) return `${field}[${JSON.stringify(`${name.slice(0, shownMax)}…`)}]`
  return /^[A-Za-z_$][\w$-]*$/.test(name) || isAttributeName(name)
    ? `${field}.${name}`
    : `${field}[${JSON.stringify(name)}]`
}
