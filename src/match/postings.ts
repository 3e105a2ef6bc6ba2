import type { Trigger } from "../core/resources.ts"
import { compileNode, type Predicate, treeOf } from "../filters/compile.ts"
import type { EventView } from "../filters/view.ts"
import { TurnOver } from "../filters/work.ts"
import type { Cover } from "./keys.ts"
import { type Collector, nothing, type Ref } from "./matching.ts"
import { Runs } from "./runs.ts"
import { SkimStatistics } from "./skim-statistics.ts"
import { Texts } from "./texts.ts"

/** A trigger as an index takes it. */
export interface Entry {
  readonly trigger: Trigger
  /** By what it is found: the first cover at the top, the next ones where many triggers share a key. */
  readonly plan: readonly Cover[]
  /** What finding it does not prove yet; undefined where there is nothing. */
  readonly check: Predicate | undefined
  /** On an event's way it may be met more than once: always, or only where the event's data has arrays. */
  readonly repeats: "never" | "in arrays" | "always"
}

/** An index of the triggers under one key. */
export interface Nested {
  add(entry: Ref): void
  remove(entry: Ref): void
  readonly empty: boolean
  collect(matching: Matching): void
}

/** Entries under one key before they are told apart by their next cover. */
const splitAt = 16

/** A ref's lowest bits: a trigger has a check; whether it was met already is asked always, or in arrays only. */
const marks = 3
const checked = 1
const always = 2
const inArrays = 4

/** Stands where a list has its length. */
const nestedMark = -1

/**
 * The triggers of a matcher by number, and what keys have under them. A ref above 0 is a number and what is to be
 * asked before the trigger fires; below 0, the start of a run: a length and so many refs above 0, or an index.
 */
export class Postings {
  /** The texts of all keys. */
  readonly texts = new Texts()
  /** Whether an index reads no more of an event's data than it has keys for. */
  readonly skimming = new SkimStatistics()
  readonly #triggers: (Trigger | undefined)[] = [undefined]
  readonly #checks: (Predicate | undefined)[] = [undefined]
  readonly #plans: (readonly Cover[])[] = [[]]
  /** The last event that met each. */
  #seen = new Int32Array(16)
  /** Where each is in the list that holds it; a hint only, for it may be in several. */
  #at = new Int32Array(16)
  readonly #free: number[] = []
  readonly #runs = new Runs()
  readonly #nested: (Nested | undefined)[] = []
  readonly #nestedFree: number[] = []
  readonly #nest: (depth: number) => Nested
  #serial = 0

  /** `nest` makes an index that finds triggers by the cover of their plans that is `depth` deep. */
  constructor(nest: (postings: Postings, depth: number) => Nested) {
    this.#nest = (depth) => nest(this, depth)
  }

  /** A number for a trigger. */
  register({ trigger, plan, check, repeats }: Entry): Ref {
    const number = this.#free.pop() ?? this.#triggers.length
    this.#triggers[number] = trigger
    this.#checks[number] = check
    this.#plans[number] = plan
    if (number >= this.#seen.length) {
      this.#seen = doubled(this.#seen)
      this.#at = doubled(this.#at)
    }
    this.#seen[number] = 0
    const repeating = repeats === "always" ? always : repeats === "in arrays" ? inArrays : 0
    return (number << marks) | repeating | (check === undefined ? 0 : checked)
  }

  /** Its number is free for another. It must not stand anywhere any more. */
  forget(entry: Ref): void {
    const number = entry >> marks
    this.#triggers[number] = undefined
    this.#checks[number] = undefined
    this.#plans[number] = []
    this.#free.push(number)
  }

  planOf(entry: Ref): readonly Cover[] {
    return this.#plans[entry >> marks]!
  }

  /** One event on its way. */
  matching(view: EventView): Matching {
    if (this.#serial === 0x7fffffff) {
      this.#seen.fill(0)
      this.#serial = 0
    }
    return new Matching(this, view, ++this.#serial)
  }

  /** What stands there once an entry does too. `depth` is of the index that the key is in; absent, lists stay lists. */
  with(ref: Ref, entry: Ref, depth = Number.POSITIVE_INFINITY): Ref {
    if (ref === nothing) return entry
    if (ref > 0) return this.#pair(ref, entry)
    const runs = this.#runs
    const length = runs.numbers[-ref]!
    if (length === nestedMark) {
      this.#nestedOf(ref).add(entry)
      return ref
    }
    const start = runs.resize(-ref, length + 1, length + 2)
    runs.numbers[start] = length + 1
    this.#put(start, length, entry)
    return length + 1 > splitAt && this.planOf(entry).length > depth + 1 ? this.#split(start, depth) : -start
  }

  #pair(first: Ref, second: Ref): Ref {
    const start = this.#runs.allocate(3)
    this.#runs.numbers[start] = 2
    this.#put(start, 0, first)
    this.#put(start, 1, second)
    return -start
  }

  /** An entry at its place in a list. */
  #put(start: number, at: number, entry: Ref): void {
    this.#runs.numbers[start + 1 + at] = entry
    this.#runs.triggers[start + 1 + at] = this.#triggers[entry >> marks]
    this.#at[entry >> marks] = at
  }

  #split(start: number, depth: number): Ref {
    const nested = this.#nest(depth + 1)
    const length = this.#runs.numbers[start]!
    const entries = this.#runs.numbers.slice(start + 1, start + 1 + length)
    this.#runs.free(start, length + 1)
    for (const entry of entries) nested.add(entry)
    const index = this.#nestedFree.pop() ?? this.#nested.length
    this.#nested[index] = nested
    const run = this.#runs.allocate(2)
    this.#runs.numbers[run] = nestedMark
    this.#runs.numbers[run + 1] = index
    return -run
  }

  /** What stands there once an entry that does now does not. */
  without(ref: Ref, entry: Ref): Ref {
    if (ref > 0) return nothing
    const { numbers } = this.#runs
    const start = -ref
    const length = numbers[start]!
    if (length === nestedMark) return this.#withoutNested(ref, entry)
    const hint = this.#at[entry >> marks]!
    const at = hint < length && numbers[start + 1 + hint] === entry ? hint : this.#find(start, length, entry)
    this.#put(start, at, numbers[start + length]!)
    this.#runs.triggers[start + length] = undefined
    if (length === 2) {
      const left = numbers[start + 1]!
      this.#runs.free(start, 3)
      return left
    }
    numbers[start] = length - 1
    return -this.#runs.resize(start, length + 1, length)
  }

  #withoutNested(ref: Ref, entry: Ref): Ref {
    const nested = this.#nestedOf(ref)
    nested.remove(entry)
    if (!nested.empty) return ref
    const index = this.#runs.numbers[-ref + 1]!
    this.#nested[index] = undefined
    this.#nestedFree.push(index)
    this.#runs.free(-ref, 2)
    return nothing
  }

  #nestedOf(ref: Ref): Nested {
    return this.#nested[this.#runs.numbers[-ref + 1]!]!
  }

  #find(start: number, length: number, entry: Ref): number {
    const { numbers } = this.#runs
    for (let at = 0; at < length; at++) if (numbers[start + 1 + at] === entry) return at
    throw new Error("the trigger is not where it is removed")
  }

  /** Adds to what is found the triggers there that the event fires. */
  collect(ref: Ref, matching: Matching): void {
    if (ref === nothing) return
    if (ref > 0) {
      if (this.#passes(ref, matching)) matching.found.push(this.#triggers[ref >> marks]!)
      return
    }
    const { numbers, triggers } = this.#runs
    const length = numbers[-ref]!
    if (length === nestedMark) {
      this.#nestedOf(ref).collect(matching)
      return
    }
    const first = 1 - ref
    for (let at = first; at < first + length; at++) {
      const entry = numbers[at]!
      if (this.#passes(entry, matching)) matching.found.push(triggers[at]!)
    }
  }

  /** Whether an event fires a trigger that it has met, for the first time. */
  #passes(entry: Ref, matching: Matching): boolean {
    if (matching.unproven > 0) return this.#passesWhole(entry, matching)
    const may = matching.arrays === 0 ? always : always | inArrays
    if ((entry & (checked | may)) === 0) return true
    const number = entry >> marks
    if ((entry & may) !== 0) {
      if (this.#seen[number] === matching.serial) return false
      this.#seen[number] = matching.serial
    }
    return (entry & checked) === 0 || matching.decide(this.#triggers[number]!, this.#checks[number]!)
  }

  /** Whether an event fires a trigger that it has met for the first time by what its key does not prove. */
  #passesWhole(entry: Ref, matching: Matching): boolean {
    const number = entry >> marks
    if (this.#seen[number] === matching.serial) return false
    this.#seen[number] = matching.serial
    const trigger = this.#triggers[number]!
    let whole = wholes.get(trigger)
    if (whole === undefined) {
      whole = compileNode(treeOf(trigger.filters))
      wholes.set(trigger, whole)
    }
    return matching.decide(trigger, whole)
  }
}

/** All of a trigger's filters, which are seldom asked at once. */
const wholes = new WeakMap<Trigger, Predicate>()

/** Steps that asking a trigger takes at least. */
const checkSteps = 32

/** A trigger that may be fired, and what is to be asked for it. */
interface Candidate {
  readonly trigger: Trigger
  readonly check: Predicate
}

/** One event on its way through an index. */
export class Matching implements Collector {
  readonly view: EventView
  readonly found: Trigger[] = []
  /** Differs from event to event, so that a trigger that is met twice is asked once. */
  readonly serial: number
  /** Arrays of the data that the way leads through now. */
  arrays = 0
  unproven = 0
  readonly #postings: Postings
  /** Left for later turns, for this one is over. */
  #later: Candidate[] | undefined

  constructor(postings: Postings, view: EventView, serial: number) {
    this.#postings = postings
    this.view = view
    this.serial = serial
  }

  take(ref: Ref): void {
    this.#postings.collect(ref, this)
  }

  /** Whether the event fires a trigger that it met; false too where that is left for later. */
  decide(trigger: Trigger, check: Predicate): boolean {
    const { view } = this
    if (this.#later === undefined) {
      view.spent += checkSteps
      if (!view.over) {
        const passes = this.#ask(check)
        if (passes !== undefined) return passes
      }
      this.#later = []
    }
    this.#later.push({ trigger, check })
    return false
  }

  /** Asks, in a turn of so many steps, for triggers that were left. */
  goOn(steps: number): void {
    const { view } = this
    view.turn(steps)
    const later = this.#later ?? []
    for (let next = later.at(-1); next !== undefined; next = later.at(-1)) {
      view.spent += checkSteps
      const passes = this.#ask(next.check)
      if (passes === undefined) return
      later.pop()
      if (passes) this.found.push(next.trigger)
      if (view.over) return
    }
  }

  get steps(): number {
    return this.view.spent
  }

  /** Whether none are left. */
  get done(): boolean {
    return this.#later === undefined || this.#later.length === 0
  }

  /** Undefined where the turn was over before there was an answer. */
  #ask(check: Predicate): boolean | undefined {
    try {
      return check(this.view)
    } catch (error) {
      if (error instanceof TurnOver) return undefined
      throw error
    }
  }
}

function doubled(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(numbers.length * 2)
  larger.set(numbers)
  return larger
}
