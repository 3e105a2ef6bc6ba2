import type { Cursor } from "../core/cursor.ts"
import { InvalidCursorError } from "../core/errors.ts"
import type { EventLog } from "../core/log.ts"
import type { CopiedStretch, CursorPair, Ledger } from "./ledger.ts"

/** Stretches that are held in memory. */
const stretchesMax = 64

/** Which cursor of the target stands for one of the source; of the source's, only its log compares them. */
export class CursorMap {
  readonly #source: EventLog
  readonly #targets: number
  readonly #ledger: Ledger
  readonly #read = new Map<string, readonly CursorPair[]>()
  readonly #counts = new Map<string, number>()
  /** Copied, and not in the ledger yet. */
  readonly #fresh = new Map<
    string,
    { readonly source: number; readonly target: number; readonly pairs: CursorPair[] }
  >()
  readonly #freshByOld = new Map<Cursor, Cursor>()

  constructor(source: EventLog, targetPartitions: number, ledger: Ledger) {
    this.#source = source
    this.#targets = targetPartitions
    this.#ledger = ledger
  }

  /** A copy was made; in log order for two partitions each. */
  add(source: number, target: number, pair: CursorPair): void {
    const name = `${source}/${target}`
    let stretch = this.#fresh.get(name)
    if (stretch === undefined) {
      stretch = { source, target, pairs: [] }
      this.#fresh.set(name, stretch)
    }
    stretch.pairs.push(pair)
    this.#freshByOld.set(pair.old, pair.new)
  }

  /** What was added since the last call: to be put into the ledger. */
  take(): readonly CopiedStretch[] {
    const taken = [...this.#fresh.values()]
    this.#fresh.clear()
    this.#freshByOld.clear()
    this.#counts.clear()
    return taken
  }

  /** What partition of the source's log a text is a cursor of; undefined where it is none. */
  partitionOf(cursor: string): number | undefined {
    for (let partition = 0; partition < this.#source.partitions; partition++) {
      try {
        this.#source.compare(cursor as Cursor, this.#source.oldest(partition))
        return partition
      } catch (error) {
        if (!(error instanceof InvalidCursorError)) throw error
      }
    }
    return undefined
  }

  /** Where the event at `old` has come to; undefined where none was copied from there. `hint`: the likely target's partition. */
  exact(old: Cursor, hint?: number): Cursor | undefined {
    const fresh = this.#freshByOld.get(old)
    if (fresh !== undefined) return fresh
    const source = this.partitionOf(old)
    if (source === undefined) return undefined
    if (hint !== undefined) {
      const found = this.#exactIn(old, source, hint)
      if (found !== undefined) return found
    }
    for (let target = 0; target < this.#targets; target++) {
      const found = target === hint ? undefined : this.#exactIn(old, source, target)
      if (found !== undefined) return found
    }
    return undefined
  }

  #exactIn(old: Cursor, source: number, target: number): Cursor | undefined {
    const pair = this.floor(old, source, target)
    return pair?.old === old ? pair.new : undefined
  }

  /** The last event that was copied between two partitions, at or before `old`. Only what is in the ledger is looked at. */
  floor(old: Cursor, source: number, target: number): CursorPair | undefined {
    const isAfter = (pair: CursorPair) => this.#source.compare(pair.old, old) > 0
    const count = this.#count(source, target)
    const stretch = firstWhere(count, (i) => isAfter(this.#stretch(source, target, i)[0]!)) - 1
    if (stretch < 0) return undefined
    const pairs = this.#stretch(source, target, stretch)
    return pairs[firstWhere(pairs.length, (i) => isAfter(pairs[i]!)) - 1]
  }

  /** The last event that was copied between two partitions. */
  last(source: number, target: number): CursorPair | undefined {
    const count = this.#count(source, target)
    return count === 0 ? undefined : this.#stretch(source, target, count - 1).at(-1)
  }

  #count(source: number, target: number): number {
    const name = `${source}/${target}`
    let count = this.#counts.get(name)
    if (count === undefined) {
      count = this.#ledger.stretches(source, target)
      this.#counts.set(name, count)
    }
    return count
  }

  #stretch(source: number, target: number, number: number): readonly CursorPair[] {
    const name = `${source}/${target}/${number}`
    const known = this.#read.get(name)
    // Most are asked for again and again; the one that was not for longest goes first.
    if (known !== undefined) this.#read.delete(name)
    else if (this.#read.size >= stretchesMax) this.#read.delete(this.#read.keys().next().value!)
    const pairs = known ?? this.#ledger.stretch(source, target, number)
    this.#read.set(name, pairs)
    return pairs
  }
}

/** The first of `count` numbers for which `holds`, which holds for all after one for which it does; `count` where for none. */
function firstWhere(count: number, holds: (i: number) => boolean): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
