import type { Growth } from "../../parts/journal/journal-store.ts"
import { type Checkpoint, checkpointOf, decodeRecord, decodeWrites } from "../../parts/journal/record.ts"
import { isJournaled, type Store, tables, type Write } from "../../parts/store.ts"
import { type Bookkeeping, bookkeepingWrite, wipe } from "./bookkeeping.ts"
import { formatCursor } from "./cursor.ts"
import type { LogIdentity } from "./head.ts"
import type { JournalPlace } from "./log-journal.ts"
import type { JournalRecord, Reader } from "./reader.ts"

/** Writes that are applied in one step. */
const stepWrites = 10_000

export interface ReplayOptions {
  readonly reader: Reader
  readonly local: Store
  readonly identity: LogIdentity
  /** What the tables hold; undefined where they are empty. */
  readonly told: Bookkeeping | undefined
  /** There was a log before the tables were empty: they are all there only when its opening has ended. */
  readonly isAnew: boolean
}

/** The places that the log left out, as bookkeeping tells of them. */
export type LeftOut = Pick<Bookkeeping, "floor" | "lost">

/** Between which records of the journal others are missing, by their places. */
export interface Hole {
  readonly from: number
  readonly to: number
  /** Nothing is left of what was before it. */
  readonly isBeginning: boolean
}

export interface Replayed extends JournalPlace, Growth {
  readonly holes: readonly Hole[]
}

/**
 * Brings the tables up to the journal's records that were found in the log. Where a later checkpoint makes superfluous what
 * the tables have not seen, and retention may have given its room back, they are made anew from that checkpoint on.
 */
export class Replay {
  readonly #options: ReplayOptions
  /** Bounded as the journal is: what is before a checkpoint is forgotten. */
  #found: number[] = []
  #growth: { liveBytes: number; grownBytes: number }
  #checkpoint: Checkpoint | undefined
  #leftOut: LeftOut = { floor: 0 }
  #parts: Buffer[] = []
  #writes: Write[] = []
  /** Readers' positions as they were at the first hole. */
  #positions: Map<string, Uint8Array> | undefined
  readonly #holes: Hole[] = []

  constructor(options: ReplayOptions) {
    this.#options = options
    const { liveBytes = 0, grownBytes = 0 } = options.told ?? {}
    this.#growth = { liveBytes, grownBytes }
  }

  /** A record that was found in the log; each once, in order. */
  found({ position, payload }: JournalRecord): void {
    if (position > (this.#options.told?.applied ?? -1)) this.#found.push(position)
    const checkpoint = checkpointOf(payload)
    if (checkpoint === undefined) return
    this.#checkpoint = checkpoint
    this.#found = this.#found.filter((position) => position >= checkpoint.place)
  }

  /** `total` is how many records are to be read, `done` how many were. */
  async run(leftOut: LeftOut, progress: (done: number, total: number) => void): Promise<Replayed> {
    const { told } = this.#options
    this.#leftOut = leftOut
    const { isFirst, ...place } = await this.#begin()
    const wanted = this.#found.filter((position) => position > place.applied)
    let { applied, number } = place
    for (const [i, position] of wanted.entries()) {
      const record = await this.#options.reader.journalRecord(position)
      if (record === undefined) continue
      if (record.number !== (number + 1) >>> 0)
        await this.#hole({ from: applied, to: position, isBeginning: isFirst && i === 0 })
      this.#take(record)
      applied = position
      number = record.number
      // Behind a hole all is written at once: a start that dies in between has to find the hole again.
      if (this.#writes.length >= stepWrites && this.#positions === undefined)
        await this.#apply({ ...place, applied, number })
      if (i % 1_000 === 0) progress(i, wanted.length)
    }
    this.#setBack()
    if (wanted.length > 0 || leftOut.floor > (told?.floor ?? -1)) await this.#apply({ ...place, applied, number })
    return { ...place, ...this.#growth, applied, number, holes: this.#holes }
  }

  /** Where replaying begins, and whether the first record of all comes next. */
  async #begin(): Promise<JournalPlace & { readonly isFirst: boolean }> {
    const { told, local } = this.#options
    const checkpoint = this.#checkpoint
    const start = checkpoint?.place ?? told?.start ?? 0
    if (told !== undefined && (checkpoint === undefined || checkpoint.place <= told.applied + 1)) {
      return { start, applied: told.applied, number: told.number, isFirst: false }
    }
    if (told !== undefined) await wipe(local, tables.filter(isJournaled))
    this.#growth = { liveBytes: 0, grownBytes: 0 }
    return { start, applied: start - 1, number: checkpoint?.number ?? 0, isFirst: checkpoint === undefined }
  }

  #take({ position, payload }: JournalRecord): void {
    const { more, begins, bytes } = decodeRecord(payload, `the journal at ${formatCursor(position)}`)
    if (checkpointOf(payload) !== undefined) {
      // What a journal tells up to its checkpoint is about what its rows are.
      const { liveBytes, grownBytes } = this.#growth
      this.#growth = { liveBytes: liveBytes || grownBytes, grownBytes: 0 }
      return
    }
    this.#growth.grownBytes += payload.length
    if (begins) this.#parts = []
    else if (this.#parts.length === 0) return
    this.#parts.push(bytes)
    if (more) return
    const whole = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts)
    for (const write of decodeWrites(whole)) this.#writes.push(write)
    this.#parts = []
  }

  async #apply(place: JournalPlace): Promise<void> {
    const { local, identity, told } = this.#options
    const writes = this.#writes
    this.#writes = []
    const isWhole = (told?.isWhole ?? true) && this.#holes.length === 0
    const opening = this.#options.isAnew && { isOpening: true as const }
    const bookkeeping = { identity, ...place, ...this.#growth, ...this.#leftOut, isWhole, ...opening }
    await local.write([...writes, bookkeepingWrite(bookkeeping)])
  }

  /** Records are missing: what they enqueued has to be found again, by reading on from where readers were before. */
  async #hole(hole: Hole): Promise<void> {
    this.#holes.push(hole)
    this.#parts = []
    if (this.#positions !== undefined) return
    const { local } = this.#options
    const positions = new Map(
      Array.from(local.range("positions"), ({ key, value }) => [key, Buffer.from(value)] as const),
    )
    for (const { table, key, value } of this.#writes) {
      if (table !== "positions") continue
      if (value === undefined) positions.delete(key)
      else positions.set(key, Buffer.from(value))
    }
    this.#positions = positions
  }

  /** What was enqueued twice is found to be there; what was done in between comes again. */
  #setBack(): void {
    const positions = this.#positions
    if (positions === undefined) return
    const later = this.#writes.filter(({ table }) => table === "positions").map(({ key }) => key)
    for (const key of new Set([...later, ...positions.keys()])) {
      this.#writes.push({ table: "positions", key, value: positions.get(key) } as Write)
    }
  }
}
