import type { AttributeValue, Event } from "../core/event.ts"
import { Decimal } from "../formats/decimal.ts"
import { type Json, parseExact } from "../formats/exact-json.ts"
import { Work } from "./work.ts"

export type { Json }

const decoder = new TextDecoder()

/** Reads a part of data that is JSON; undefined where that takes parsing all of it. */
export type Skim = (json: Uint8Array) => Json | undefined

/** Below this size parsing all of the data is as fast as skimming it. */
const skimmedBytesMin = 160

/**
 * An event as filters see it while it is being decided: made per event, thrown away after. Data is parsed at most once, and
 * only if what was skimmed of it before does not do.
 */
export class EventView extends Work {
  readonly event: Event
  #data: Json | undefined
  #dataRead = false
  #skim: Skim | undefined
  #skimmed: Json | undefined

  constructor(event: Event) {
    super()
    this.event = event
  }

  /** A view whose data is known already. */
  static withData(event: Event, data: Json | undefined): EventView {
    const view = new EventView(event)
    view.#data = data
    view.#dataRead = true
    return view
  }

  attribute(name: string): AttributeValue | undefined {
    const value = this.event.attributes[name]
    // What every object inherits is a function or an object, and no attribute is: cheaper to tell than what is its own.
    return typeof value === "object" || typeof value === "function" ? undefined : value
  }

  /** An attribute's canonical text; undefined where the event does not have it. */
  text(name: string): string | undefined {
    const value = this.attribute(name)
    return typeof value === "string" || value === undefined ? value : String(value)
  }

  /** JSON data parsed, text data as a string; undefined where there is neither. */
  data(): Json | undefined {
    if (!this.#dataRead) {
      this.#dataRead = true
      this.spent += this.event.data?.length ?? 0
      this.#data = readData(this.event)
    }
    return this.#data
  }

  /**
   * The data, or the part that `skim` reads where that is cheaper to have: an object then lacks the members that it passes
   * over.
   */
  skimmed(skim: Skim): Json | undefined {
    if (this.#dataRead) return this.#data
    if (this.#skim === skim) return this.#skimmed
    const { data, dataKind } = this.event
    if (data === undefined || dataKind !== "json" || data.length < skimmedBytesMin) return this.data()
    // Skimming twice costs as much as parsing.
    if (this.#skim !== undefined) return this.data()
    this.spent += data.length
    const found = skim(data)
    if (found === undefined) return this.data()
    this.#skim = skim
    this.#skimmed = found
    return found
  }

  /** How the data has been read until now; `twice`, skimmed and then parsed, for more of it was needed. */
  get read(): "not" | "skimmed" | "whole" | "twice" {
    if (this.#skim === undefined) return this.#dataRead ? "whole" : "not"
    return this.#dataRead ? "twice" : "skimmed"
  }
}

function readData({ data, dataKind }: Event): Json | undefined {
  if (data === undefined || dataKind === "none" || dataKind === "binary") return undefined
  const text = decoder.decode(data)
  if (dataKind === "text") return text
  try {
    return parseExact(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** Whether a value is an object or an array. */
export function isComposite(value: Json | undefined): value is readonly Json[] | { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !(value instanceof Decimal)
}

/** A member of an object or an element of an array; undefined where there is none. */
export function memberOf(value: Json | undefined, step: string | number): Json | undefined {
  if (typeof value !== "object" || value === null) return undefined
  if (typeof step === "number") return Array.isArray(value) ? (value as readonly Json[])[step] : undefined
  if (Array.isArray(value)) return undefined
  return Object.hasOwn(value, step) ? (value as { readonly [name: string]: Json })[step] : undefined
}

/** A place in data. */
export type DataPath = readonly (string | number)[]

/** A reader of one place in data. Names that every object, or a Decimal, inherits are looked up with care, all others directly. */
export function compilePath(path: DataPath): (value: Json | undefined) => Json | undefined {
  if (path.some((step) => typeof step === "number" || step in Decimal.prototype)) {
    return (value) => path.reduce<Json | undefined>(memberOf, value)
  }
  const [a, b] = path as readonly string[]
  if (a === undefined) return (value) => value
  if (b === undefined) return (value) => ownMember(value, a)
  if (path.length === 2) return (value) => ownMember(ownMember(value, a), b)
  return (value) => (path as readonly string[]).reduce(ownMember, value)
}

function ownMember(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  return (value as { readonly [name: string]: Json })[name]
}

/** A path as people write it: `data.items[0].sku`. */
export function formatPath(path: DataPath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`
    return /^[\p{L}\p{N}_$]+$/u.test(step) && !/^\d/.test(step) ? `${text}.${step}` : `${text}[${quote(step)}]`
  }, "data")
}

/** A text as SQL and query read it, in whichever quotes need no escape. Only a text that ends in a backslash has no form. */
export function quote(text: string): string {
  if (!text.includes("'")) return `'${text}'`
  return text.includes('"') ? `'${text.replaceAll("'", "\\'")}'` : `"${text}"`
}
