import { mkdirSync } from "node:fs"
import { type Database, open, type RootDatabase } from "lmdb"
import type { Cursor } from "../core/cursor.ts"

/** Which migration a ledger is of. */
export interface LedgerHead {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly startedAt: number
  /** The end of each of the source's partitions when the migration began. */
  readonly heads: readonly Cursor[]
  readonly sourcePartitions: number
  readonly targetPartitions: number
}

/** How far the copying of events has come; partitions are numbered. */
export interface CopyProgress {
  readonly events: number
  /** The last event that was copied, by the source's partition. */
  readonly positions: Readonly<Record<number, Cursor>>
  /** The last copy, by the target's partition; and when it was stored. */
  readonly ends: Readonly<Record<number, Cursor>>
  readonly storedAt: Readonly<Record<number, number>>
}

/** An event's cursor in the source, and its copy's in the target. */
export interface CursorPair {
  readonly old: Cursor
  readonly new: Cursor
}

/** Copies that one step has added: from a partition of the source to one of the target, in log order. */
export interface CopiedStretch {
  readonly source: number
  readonly target: number
  readonly pairs: readonly CursorPair[]
}

const nothing: CopyProgress = { events: 0, positions: {}, ends: {}, storedAt: {} }
const numberDigits = 10

/**
 * What a migration knows of itself, on disk: so that it goes on where it was cut off, and can say where each event has come
 * to. About 24 bytes an event.
 */
export class Ledger {
  readonly #root: RootDatabase
  readonly #state: Database<unknown, string>
  readonly #stretches: Database<Buffer, string>

  private constructor(root: RootDatabase) {
    this.#root = root
    this.#state = root.openDB({ name: "state", encoding: "json" })
    this.#stretches = root.openDB({ name: "stretches", encoding: "binary" })
  }

  /** Opens the ledger in this directory, which is made where it is missing. */
  static open(directory: string): Ledger {
    mkdirSync(directory, { recursive: true })
    // Without overlapping a commit that ended is on disk.
    return new Ledger(open({ path: directory, maxDbs: 2, mapSize: 2 ** 36, overlappingSync: false }))
  }

  get head(): LedgerHead | undefined {
    return this.#state.get("head") as LedgerHead | undefined
  }

  begin(head: LedgerHead): void {
    this.#root.transactionSync(() => this.#state.put("head", head))
  }

  get progress(): CopyProgress {
    return (this.#state.get("progress") as CopyProgress | undefined) ?? nothing
  }

  /** One step, all or nothing; `raised`: copies that count as stored later than their originals, and when. */
  save(
    progress: CopyProgress,
    stretches: readonly CopiedStretch[],
    raised: readonly (readonly [old: Cursor, storedAt: number])[],
  ): void {
    this.#root.transactionSync(() => {
      for (const { source, target, pairs } of stretches) {
        const number = this.stretches(source, target)
        const text = pairs.map((pair) => `${pair.old} ${pair.new}`).join("\n")
        this.#stretches.put(stretchKey(source, target, number), Buffer.from(text, "latin1"))
      }
      for (const [old, storedAt] of raised) this.#state.put(`raised/${old}`, storedAt)
      this.#state.put("progress", progress)
    })
  }

  /** How many stretches there are between two partitions. */
  stretches(source: number, target: number): number {
    const range = { start: stretchKey(source, target, Number.MAX_SAFE_INTEGER), reverse: true, limit: 1 }
    for (const key of this.#stretches.getKeys({ ...range, end: stretchKey(source, target, -1) })) {
      return Number(key.split("/")[2]) + 1
    }
    return 0
  }

  /** The pairs of a stretch, numbered from 0 in the order of copying. */
  stretch(source: number, target: number, number: number): readonly CursorPair[] {
    const lines = this.#stretches
      .get(stretchKey(source, target, number))!
      .toString("latin1")
      .split("\n")
    return lines.map((line) => {
      const at = line.indexOf(" ")
      return { old: line.slice(0, at) as Cursor, new: line.slice(at + 1) as Cursor }
    })
  }

  /** When the copy counts as stored, where that is later than its original. */
  raisedTo(old: Cursor): number | undefined {
    return this.#state.get(`raised/${old}`) as number | undefined
  }

  async close(): Promise<void> {
    await this.#root.close()
  }
}

/** Before all of two partitions with -1, after them with the largest number there is. */
function stretchKey(source: number, target: number, number: number): string {
  const place = number < 0 ? "" : number === Number.MAX_SAFE_INTEGER ? "~" : String(number).padStart(numberDigits, "0")
  return `${source}/${target}/${place}`
}
