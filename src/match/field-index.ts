import { toNumber } from "../filters/sql/values.ts"
import { attributeNumber } from "../filters/tests.ts"
import { Decimal, type Numeric, nearest } from "../formats/decimal.ts"
import { Affixes } from "./affixes.ts"
import { hashText } from "./hashing.ts"
import { type Interval, Intervals, neighbours } from "./intervals.ts"
import type { KeyKind } from "./keys.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Segments } from "./segments.ts"
import { Table } from "./table.ts"
import type { Texts } from "./texts.ts"

type Primitive = string | number | boolean | null

/** Refs by what must be true of one field. A structure is there while it has a key. */
export class FieldIndex {
  readonly #matcherTexts: Texts
  #texts: Table | undefined
  #folded: Table | undefined
  #constants: Map<boolean | null, Ref> | undefined
  #prefixes: Affixes | undefined
  #suffixes: Affixes | undefined
  #paths: Segments | undefined
  /** Single numbers too. */
  #ranges: Intervals | undefined
  #looseRanges: Intervals | undefined

  /** `texts` keeps those of the keys. */
  constructor(texts: Texts) {
    this.#matcherTexts = texts
  }

  get empty(): boolean {
    return (
      this.#texts === undefined &&
      this.#folded === undefined &&
      this.#constants === undefined &&
      this.#prefixes === undefined &&
      this.#suffixes === undefined &&
      this.#paths === undefined &&
      this.#ranges === undefined &&
      this.#looseRanges === undefined
    )
  }

  get(by: KeyKind): Ref {
    switch (by.kind) {
      case "value":
        return this.#getValue(by.value)
      case "fold":
        return this.#folded?.get(hashText(by.text), by.text) ?? nothing
      case "prefix":
        return this.#prefixes?.get(by.text) ?? nothing
      case "suffix":
        return this.#suffixes?.get(by.text) ?? nothing
      case "path":
        return this.#paths?.get(by.segments) ?? nothing
      case "range":
        return (by.loose ? this.#looseRanges : this.#ranges)?.get(by.interval) ?? nothing
    }
  }

  #getValue(value: Primitive): Ref {
    if (typeof value === "string") return this.#texts?.get(hashText(value), value) ?? nothing
    if (typeof value === "number") return this.#ranges?.get(only(value)) ?? nothing
    return this.#constants?.get(value) ?? nothing
  }

  /** Puts a ref under a key; nothing removes. */
  set(by: KeyKind, ref: Ref): void {
    const texts = this.#matcherTexts
    switch (by.kind) {
      case "value":
        this.#setValue(by.value, ref)
        return
      case "fold":
        this.#folded = withText(this.#folded ?? new Table(texts), by.text, ref)
        return
      case "prefix":
        this.#prefixes ??= new Affixes(texts, false)
        this.#prefixes.set(by.text, ref)
        if (this.#prefixes.empty) this.#prefixes = undefined
        return
      case "suffix":
        this.#suffixes ??= new Affixes(texts, true)
        this.#suffixes.set(by.text, ref)
        if (this.#suffixes.empty) this.#suffixes = undefined
        return
      case "path":
        this.#paths ??= new Segments(texts)
        this.#paths.set(by.segments, ref)
        if (this.#paths.empty) this.#paths = undefined
        return
      case "range":
        if (by.loose) this.#looseRanges = withRange(this.#looseRanges, by.interval, ref)
        else this.#ranges = withRange(this.#ranges, by.interval, ref)
    }
  }

  #setValue(value: Primitive, ref: Ref): void {
    if (typeof value === "string") this.#texts = withText(this.#texts ?? new Table(this.#matcherTexts), value, ref)
    else if (typeof value === "number") this.#ranges = withRange(this.#ranges, only(value), ref)
    else {
      this.#constants ??= new Map()
      if (ref === nothing) this.#constants.delete(value)
      else this.#constants.set(value, ref)
      if (this.#constants.size === 0) this.#constants = undefined
    }
  }

  /** An attribute's value: looked up by its canonical text. */
  collectAttribute(value: string | number | boolean, into: Collector): void {
    const text = typeof value === "string" ? value : String(value)
    this.#collectText(text, into)
    const number = this.#ranges === undefined ? undefined : attributeNumber(text)
    if (number !== undefined) collectNumber(this.#ranges!, number, into)
    if (this.#looseRanges !== undefined) this.#collectLoose(value, into)
  }

  /** A value in data. */
  collectValue(value: Primitive | Decimal, into: Collector): void {
    if (typeof value === "string") this.#collectText(value, into)
    else if (typeof value === "number") this.#ranges?.collect(value, value, into)
    else if (value instanceof Decimal) {
      if (this.#ranges !== undefined) collectNumber(this.#ranges, value, into)
    } else if (this.#constants !== undefined) into.take(this.#constants.get(value) ?? nothing)
    if (this.#looseRanges !== undefined) this.#collectLoose(value, into)
  }

  #collectText(text: string, into: Collector): void {
    if (this.#prefixes !== undefined) this.#prefixes.collect(text, into, this.#texts)
    else if (this.#texts !== undefined) {
      const ref = this.#texts.get(hashText(text), text)
      if (ref !== nothing) into.take(ref)
    }
    this.#suffixes?.collect(text, into)
    this.#paths?.collect(text, into)
    if (this.#folded !== undefined) {
      const lower = text.toLowerCase()
      into.take(this.#folded.get(hashText(lower), lower))
    }
  }

  #collectLoose(value: Primitive | Decimal, into: Collector): void {
    const number = toNumber(value)
    if (number !== undefined) collectNumber(this.#looseRanges!, number, into)
  }
}

/**
 * A number that no double stands for is between two of them: what has either is found, and has to be asked, for it may end
 * before the number.
 */
function collectNumber(ranges: Intervals, value: Numeric, into: Collector): void {
  if (typeof value === "number") {
    ranges.collect(value, value, into)
    return
  }
  const [low, high] = neighbours(nearest(value))
  into.unproven++
  ranges.collect(low, high, into)
  into.unproven--
}

function only(value: number): Interval {
  return { low: value, lowOpen: false, high: value, highOpen: false }
}

function withText(table: Table, text: string, ref: Ref): Table | undefined {
  table.set(hashText(text), text, ref)
  return table.size === 0 ? undefined : table
}

function withRange(ranges = new Intervals(), interval: Interval, ref: Ref): Intervals | undefined {
  ranges.set(interval, ref)
  return ranges.empty ? undefined : ranges
}
