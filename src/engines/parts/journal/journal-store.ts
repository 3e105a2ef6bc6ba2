import { ClosedError, DamagedError, OverloadError, StorageError } from "../../../core/errors.ts"
import { type Entry, isJournaled, type Range, type Store, type Table, tables, type Write } from "../store.ts"
import { encodeRecord, encodeWrites } from "./record.ts"

/** Where every change of a store is before it is there. One appends at a time. */
export interface Journal {
  /** The place of the last record. */
  readonly last: number
  /** Durable when it resolves, with the record's place, which is beyond all before it. */
  append(record: Buffer): Promise<number>
  /** The number of that record, where they are numbered. */
  readonly number?: number
  /** What is before `place`, whose last record has `number`, tells no more than what is from there on. */
  purge(place: number, number: number): Promise<unknown>
  /** Nothing more is asked for. */
  leave(): void
}

export interface JournalStoreOptions extends Growth {
  readonly journal: Journal
  /** What the journal tells, up to its last record. */
  readonly local: Store
  /** Writes that wait for the journal, in bytes; beyond them `write` rejects with OverloadError. */
  readonly pendingBytesMax: number
  /** Of one record. */
  readonly recordBytesMax: number
  /** The journal is written anew when it has grown by so much, or by twice the rows' bytes where that is more. */
  readonly compactBytesMin: number
  /** Runs once what is at hand in this turn has been seen; default setImmediate. */
  defer?(run: () => void): void
  /** Whether only the call is refused that failed with this error, and later ones may be taken; default: nothing more is. */
  passes?(error: unknown): boolean
  /** Written to the local store together with what the record at `place` says. */
  alongside?(place: number, grown: Growth): readonly Write[]
  /** Waits before a write that the local store refused is tried again; without it nothing more is written. */
  localAgain?(error: unknown): Promise<void>
  /** Told once, when nothing more can be written: by whom it may, or why not. */
  lost(error: Error): void
}

/** How the journal stands to its rows. */
export interface Growth {
  /** Bytes of the rows. */
  readonly liveBytes: number
  /** Bytes of the journal that tell no more than the rows do. */
  readonly grownBytes: number
}

interface Call {
  readonly writes: readonly Write[]
  readonly bytes: Buffer
  /** To be stored even where it writes nothing. */
  readonly forced: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Rewriting the rows: where it has come to. */
interface Compaction {
  /** The last record that it makes superfluous. */
  readonly upTo: number
  /** The number of that one. */
  readonly number: number
  table: number
  start: string
  liveBytes: number
}

const retryAfterMs = 100
/** What a record costs beside its data, about. */
const recordBytes = 150
/** What a call costs beside its bytes, about. */
const callBytes = 100

/**
 * The tables of a queue, or of a whole hub: rows are in a local store that can be made again at any time, and every write is
 * in a journal before it is there.
 *
 * One record is under way at a time, and what is written meanwhile makes the next one; what belongs together and is too
 * much for a record is spread over several, which count only when the last one is there.
 * When the journal has grown much beyond the rows, the rows are written to it once more, a part at a time between other
 * writes, and everything from before is dropped: a row is either among them, or was changed since.
 */
export class JournalStore implements Store {
  readonly #options: JournalStoreOptions
  #calls: Call[] = []
  #pendingBytes = 0
  #running: Promise<void> | undefined
  /** In the journal, and not among the rows yet. */
  #journaled: Call[] = []
  /** To be written with the newest of those. */
  #alongside: readonly Write[] = []
  #isApplying = false
  /** Something of the journal never came to be among the rows: nothing later may. */
  #isBehind = false
  #applying: Promise<void> = Promise.resolve()
  #failure: Error | undefined
  #localTrouble: unknown
  #grownBytes = 0
  #liveBytes = 0
  #compaction: Compaction | undefined
  /** The rows are to be written anew though the journal has not grown. */
  #isForced = false
  /** It is about to close: what the local store does not take now is left to the next start. */
  #isEnding = false

  constructor(options: JournalStoreOptions) {
    this.#options = options
    this.resume(options)
  }

  /** How the journal stands to the rows, once they are brought up to it. */
  resume({ liveBytes, grownBytes }: Growth): void {
    this.#liveBytes = liveBytes
    this.#grownBytes = grownBytes
  }

  /** Bytes that wait; bytes written since the journal was last written anew. */
  figures(): { readonly pendingBytes: number; readonly grownBytes: number } {
    return { pendingBytes: this.#pendingBytes, grownBytes: this.#grownBytes }
  }

  /** Why the rows lag behind the journal, if they do. */
  get localTrouble(): unknown {
    return this.#localTrouble
  }

  get(table: Table, key: string): Uint8Array | undefined {
    return this.#options.local.get(table, key)
  }

  range(table: Table, range?: Range): Iterable<Entry> {
    return this.#options.local.range(table, range)
  }

  write(writes: readonly Write[]): Promise<void> {
    if (writes.length > 0 && writes.every(({ table }) => !isJournaled(table))) return this.#options.local.write(writes)
    return this.#add(writes, false)
  }

  /** Resolves when the journal has taken a record since: what is read then was true after the call. */
  confirm(): Promise<void> {
    return this.#add([], true)
  }

  flushed(): Promise<void> {
    return this.#add([], false).catch(() => undefined)
  }

  /** Writes all rows to the journal once more, whatever it holds. */
  compact(): void {
    this.#isForced = true
    this.#run()
  }

  /** Takes no more, ends when what was taken is written or refused, and closes what is local. */
  async close(): Promise<void> {
    await this.#stop()
    await this.#options.local.close()
  }

  /** From now on a local store that has no room is not waited for: the journal has what it lacks. */
  ending(): void {
    this.#isEnding = true
  }

  /** As {@link close}, when what was taken is written, and without closing what is local. */
  async drain(): Promise<void> {
    // What the local store does not take is in the journal.
    if (this.#localTrouble === undefined) await this.flushed()
    await this.#stop()
  }

  async #stop(): Promise<void> {
    this.#fail(new ClosedError())
    await this.#running
    await this.#applying
  }

  #add(writes: readonly Write[], forced: boolean): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    const bytes = encodeWrites(writes.filter(({ table }) => isJournaled(table)))
    const cost = callBytes + bytes.length
    if (this.#pendingBytes > 0 && this.#pendingBytes + cost > this.#options.pendingBytesMax) {
      return Promise.reject(new OverloadError(retryAfterMs))
    }
    this.#pendingBytes += cost
    return new Promise((resolve, reject) => {
      this.#calls.push({ writes, bytes, forced, resolve, reject })
      this.#run()
    })
  }

  #run(): void {
    this.#running ??= this.#write()
      .catch((error: unknown) => this.#lose(error))
      .finally(() => {
        this.#running = undefined
        if (this.#calls.length > 0 && this.#failure === undefined) this.#run()
      })
  }

  async #write(): Promise<void> {
    // To the end of the turn: the other calls of this turn share the record.
    await new Promise<void>(this.#options.defer ?? setImmediate)
    let isFirst = true
    // Ends: when nothing waits, and all rows have been written anew that had to be.
    while ((isFirst || this.#calls.length > 0 || this.#compaction) && this.#failure === undefined) {
      isFirst = false
      const group = this.#take()
      if (await this.#append(group)) this.#apply(group)
      if (this.#isToCompact()) await this.#compactOn()
    }
  }

  /** The next calls in order, whole; more than one only where they fit into one record. */
  #take(): readonly Call[] {
    let size = 0
    let count = 0
    for (const { bytes } of this.#calls) {
      if (count > 0 && size + bytes.length > this.#options.recordBytesMax) break
      size += bytes.length
      count++
    }
    return this.#calls.splice(0, count)
  }

  /** Whether the journal has them; throws where it takes nothing any more. */
  async #append(group: readonly Call[]): Promise<boolean> {
    try {
      if (group.some(({ forced, bytes }) => forced || bytes.length > 0)) await this.#appendParts(group)
      return true
    } catch (error) {
      for (const call of group) this.#refuse(call, error)
      if (!this.#options.passes?.(error)) throw error
      return false
    }
  }

  #appendParts(group: readonly Call[]): Promise<void> {
    const [first] = group
    if (group.length === 1) return this.#appendBytes(first!.bytes)
    return this.#send(
      encodeRecord(
        group.map(({ bytes }) => bytes),
        { more: false, begins: true },
      ),
    )
  }

  async #appendBytes(bytes: Buffer): Promise<void> {
    const { recordBytesMax } = this.#options
    const parts = Math.max(1, Math.ceil(bytes.length / recordBytesMax))
    for (let i = 0; i < parts; i++) {
      const part = bytes.subarray(i * recordBytesMax, (i + 1) * recordBytesMax)
      await this.#send(encodeRecord([part], { more: i < parts - 1, begins: i === 0 }))
    }
  }

  async #send(record: Buffer): Promise<void> {
    await this.#options.journal.append(record)
    this.#grownBytes += record.length + recordBytes
  }

  /** Rows of later calls are not there before those of earlier ones. */
  #apply(group: readonly Call[]): void {
    if (this.#isBehind) {
      for (const call of group) this.#refuse(call, this.#failure)
      return
    }
    for (const call of group) this.#journaled.push(call)
    const { journal, alongside } = this.#options
    const growth = { liveBytes: this.#liveBytes, grownBytes: this.#grownBytes }
    this.#alongside = alongside?.(journal.last, growth) ?? []
    if (!this.#isApplying && this.#journaled.length > 0) this.#applying = this.#applyAll()
  }

  /** One local write at a time takes all that came meanwhile; after one that failed there are no others. */
  async #applyAll(): Promise<void> {
    this.#isApplying = true
    while (this.#journaled.length > 0) {
      const calls = this.#journaled
      this.#journaled = []
      const writes = calls.length === 1 ? calls[0]!.writes : calls.flatMap((call) => call.writes)
      try {
        if (writes.length > 0) await this.#writeLocal([...writes, ...this.#alongside])
        for (const call of calls) this.#end(call).resolve()
      } catch (error) {
        this.#isBehind = true
        for (const call of [...calls, ...this.#journaled.splice(0)]) this.#end(call).reject(errorOf(error))
        this.#lose(error)
      }
    }
    this.#isApplying = false
  }

  /** The journal has it, so it has to be there as well, when there is room for it again. */
  async #writeLocal(writes: readonly Write[]): Promise<void> {
    const { local, localAgain } = this.#options
    // Ends: with the store's taking it, with its damage, or with closing.
    for (;;) {
      try {
        await local.write(writes)
        this.#localTrouble = undefined
        return
      } catch (error) {
        // A store that is damaged takes nothing any more, however often it is asked.
        const isOver = error instanceof ClosedError || error instanceof DamagedError
        if (!localAgain || this.#failure || this.#isEnding || isOver) throw error
        this.#localTrouble = error
        await localAgain(error)
      }
    }
  }

  #isToCompact(): boolean {
    if (this.#compaction || this.#isForced) return true
    return this.#grownBytes >= Math.max(this.#options.compactBytesMin, 2 * this.#liveBytes)
  }

  async #compactOn(): Promise<void> {
    try {
      await this.#compactPart()
    } catch (error) {
      if (!this.#options.passes?.(error)) throw error
      // Begun anew after the next write.
      this.#compaction = undefined
      this.#isForced = true
    }
  }

  /** Writes the next part of the rows. */
  async #compactPart(): Promise<void> {
    const { journal } = this.#options
    await this.#applying
    if (this.#failure) return
    this.#compaction ??= { upTo: journal.last, number: journal.number ?? 0, table: 0, start: "", liveBytes: 0 }
    const compaction = this.#compaction
    const rows = this.#rows(compaction)
    if (rows.length > 0) {
      const bytes = encodeWrites(rows)
      compaction.liveBytes += bytes.length
      return this.#appendBytes(bytes)
    }
    this.#compaction = undefined
    this.#liveBytes = compaction.liveBytes
    this.#grownBytes = 0
    this.#isForced = false
    await journal.purge(compaction.upTo + 1, compaction.number).catch((error: unknown) => {
      // It is told whole only once the checkpoint is there.
      if (this.#options.passes !== undefined) throw error
    })
  }

  /** Rows from where it has come to, about half a record of them; none: that was all. */
  #rows(compaction: Compaction): readonly Write[] {
    const { local, recordBytesMax } = this.#options
    const rows: Write[] = []
    let size = 0
    for (; compaction.table < tables.length; compaction.table++, compaction.start = "") {
      const table = tables[compaction.table]!
      if (!isJournaled(table)) continue
      for (const { key, value } of local.range(table, compaction.start === "" ? {} : { start: compaction.start })) {
        rows.push({ table, key, value: Buffer.from(value) })
        compaction.start = `${key}\0`
        size += key.length + value.length
        if (size >= recordBytesMax / 2) return rows
      }
    }
    return rows
  }

  #refuse(call: Call, error: unknown): void {
    this.#end(call).reject(errorOf(error))
  }

  #end(call: Call): Call {
    this.#pendingBytes -= callBytes + call.bytes.length
    return call
  }

  #lose(error: unknown): void {
    if (this.#failure) return
    const failure = errorOf(error)
    this.#fail(failure)
    this.#options.lost(failure)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#options.journal.leave()
    for (const call of this.#calls.splice(0)) this.#refuse(call, error)
  }
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new StorageError(String(error))
}
