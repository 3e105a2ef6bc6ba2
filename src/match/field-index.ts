import { toNumber } from "../filters/sql/values.ts"
import { Affixes } from "./affixes.ts"
import { Intervals } from "./intervals.ts"
import type { KeyKind } from "./keys.ts"
import type { Matching, Slot } from "./matching.ts"
import { Segments } from "./segments.ts"
import { WideMap } from "./wide-map.ts"

type Primitive = string | number | boolean | null

/** Slots by what must be true of one field. Structures come into being with their first key. */
export class FieldIndex<S extends Slot> {
  readonly #values = new WideMap<S>()
  #folded: Map<string, S> | undefined
  #prefixes: Affixes<S> | undefined
  #suffixes: Affixes<S> | undefined
  #paths: Segments<S> | undefined
  #ranges: Intervals<S> | undefined
  #looseRanges: Intervals<S> | undefined

  get empty(): boolean {
    return (
      this.#values.size === 0 &&
      (this.#folded?.size ?? 0) === 0 &&
      this.#prefixes?.empty !== false &&
      this.#suffixes?.empty !== false &&
      this.#paths?.empty !== false &&
      this.#ranges?.empty !== false &&
      this.#looseRanges?.empty !== false
    )
  }

  get(by: KeyKind): S | undefined {
    switch (by.kind) {
      case "value":
        return this.#values.get(by.value)
      case "fold":
        return this.#folded?.get(by.text)
      case "prefix":
        return this.#prefixes?.get(by.text)
      case "suffix":
        return this.#suffixes?.get(by.text)
      case "path":
        return this.#paths?.get(by.segments)
      case "range":
        return (by.loose ? this.#looseRanges : this.#ranges)?.get(by.interval)
    }
  }

  add(by: KeyKind, slot: S): void {
    switch (by.kind) {
      case "value":
        this.#values.set(by.value, slot)
        return
      case "fold":
        this.#folded ??= new Map()
        this.#folded.set(by.text, slot)
        return
      case "prefix":
        this.#prefixes ??= new Affixes(false)
        this.#prefixes.add(by.text, slot)
        return
      case "suffix":
        this.#suffixes ??= new Affixes(true)
        this.#suffixes.add(by.text, slot)
        return
      case "path":
        this.#paths ??= new Segments()
        this.#paths.add(by.segments, slot)
        return
      case "range":
        if (by.loose) this.#looseRanges ??= new Intervals()
        else this.#ranges ??= new Intervals()
        ;(by.loose ? this.#looseRanges : this.#ranges)!.add(by.interval, slot)
    }
  }

  delete(by: KeyKind): void {
    switch (by.kind) {
      case "value":
        this.#values.delete(by.value)
        return
      case "fold":
        this.#folded!.delete(by.text)
        return
      case "prefix":
        this.#prefixes!.delete(by.text)
        return
      case "suffix":
        this.#suffixes!.delete(by.text)
        return
      case "path":
        this.#paths!.delete(by.segments)
        return
      case "range":
        ;(by.loose ? this.#looseRanges : this.#ranges)!.delete(by.interval)
    }
  }

  /** An attribute's value: looked up by its canonical text. */
  collectAttribute(value: string | number | boolean, matching: Matching): void {
    const text = typeof value === "string" ? value : String(value)
    this.#values.get(text)?.collect(matching)
    this.#collectText(text, matching)
    if (this.#ranges !== undefined && canonicalNumber.test(text)) this.#ranges.collect(Number(text), matching)
    if (this.#looseRanges !== undefined) this.#collectLoose(value, matching)
  }

  /** A value in data. */
  collectValue(value: Primitive, matching: Matching): void {
    this.#values.get(value)?.collect(matching)
    if (typeof value === "string") this.#collectText(value, matching)
    else if (typeof value === "number") this.#ranges?.collect(value, matching)
    if (this.#looseRanges !== undefined) this.#collectLoose(value, matching)
  }

  #collectText(text: string, matching: Matching): void {
    this.#prefixes?.collect(text, matching)
    this.#suffixes?.collect(text, matching)
    this.#paths?.collect(text, matching)
    if (this.#folded !== undefined && this.#folded.size > 0) this.#folded.get(text.toLowerCase())?.collect(matching)
  }

  #collectLoose(value: Primitive, matching: Matching): void {
    const number = toNumber(value)
    if (number !== undefined) this.#looseRanges!.collect(number, matching)
  }
}

const canonicalNumber = /^(0|-?[1-9][0-9]{0,15})$/
