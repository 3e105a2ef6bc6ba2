import { toNumber } from "../filters/sql/values.ts"
import { Affixes } from "./affixes.ts"
import { hashPart } from "./hashing.ts"
import { type Interval, Intervals } from "./intervals.ts"
import type { KeyKind } from "./keys.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Segments } from "./segments.ts"
import { Table } from "./table.ts"

type Primitive = string | number | boolean | null

/** Refs by what must be true of one field. A structure is there while it has a key. */
export class FieldIndex {
  #values: Table | undefined
  #folded: Table | undefined
  #prefixes: Affixes | undefined
  #suffixes: Affixes | undefined
  #paths: Segments | undefined
  #ranges: Intervals | undefined
  #looseRanges: Intervals | undefined

  get empty(): boolean {
    return (
      this.#values === undefined &&
      this.#folded === undefined &&
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
        return this.#values?.get(by.value) ?? nothing
      case "fold":
        return this.#folded?.get(by.text) ?? nothing
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

  /** Puts a ref under a key; nothing removes. */
  set(by: KeyKind, ref: Ref): void {
    switch (by.kind) {
      case "value":
        this.#values ??= new Table()
        this.#values.set(by.value, ref)
        if (this.#values.size === 0) this.#values = undefined
        return
      case "fold":
        this.#folded ??= new Table()
        this.#folded.set(by.text, ref)
        if (this.#folded.size === 0) this.#folded = undefined
        return
      case "prefix":
        this.#prefixes ??= new Affixes(false)
        this.#prefixes.set(by.text, ref)
        if (this.#prefixes.empty) this.#prefixes = undefined
        return
      case "suffix":
        this.#suffixes ??= new Affixes(true)
        this.#suffixes.set(by.text, ref)
        if (this.#suffixes.empty) this.#suffixes = undefined
        return
      case "path":
        this.#paths ??= new Segments()
        this.#paths.set(by.segments, ref)
        if (this.#paths.empty) this.#paths = undefined
        return
      case "range":
        if (by.loose) this.#looseRanges = withRange(this.#looseRanges, by.interval, ref)
        else this.#ranges = withRange(this.#ranges, by.interval, ref)
    }
  }

  /** An attribute's value: looked up by its canonical text. */
  collectAttribute(value: string | number | boolean, into: Collector): void {
    const text = typeof value === "string" ? value : String(value)
    this.#collectText(text, into)
    if (this.#ranges !== undefined && canonicalNumber.test(text)) this.#ranges.collect(Number(text), into)
    if (this.#looseRanges !== undefined) this.#collectLoose(value, into)
  }

  /** A value in data. */
  collectValue(value: Primitive, into: Collector): void {
    if (typeof value === "string") this.#collectText(value, into)
    else {
      if (this.#values !== undefined) into.take(this.#values.get(value))
      if (typeof value === "number") this.#ranges?.collect(value, into)
    }
    if (this.#looseRanges !== undefined) this.#collectLoose(value, into)
  }

  #collectText(text: string, into: Collector): void {
    const values = this.#values
    if (values !== undefined) {
      const ref = values.getPart(hashPart(text, 0, text.length), text, 0, text.length)
      if (ref !== nothing) into.take(ref)
    }
    this.#prefixes?.collect(text, into)
    this.#suffixes?.collect(text, into)
    this.#paths?.collect(text, into)
    if (this.#folded !== undefined) into.take(this.#folded.get(text.toLowerCase()))
  }

  #collectLoose(value: Primitive, into: Collector): void {
    const number = toNumber(value)
    if (number !== undefined) this.#looseRanges!.collect(number, into)
  }
}

function withRange(ranges = new Intervals(), interval: Interval, ref: Ref): Intervals | undefined {
  ranges.set(interval, ref)
  return ranges.empty ? undefined : ranges
}

const canonicalNumber = /^(0|-?[1-9][0-9]{0,15})$/
