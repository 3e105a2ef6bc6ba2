import { ClosedError, OverloadError, StorageError } from "../../../core/errors.ts"
import { type Entry, type Range, type Store, type Table, tables, type Write } from "../../embedded/store.ts"
import type { Journal } from "./journal.ts"
import { encodeRecord, encodeWrites } from "./record.ts"

export interface JournalStoreOptions {
  readonly journal: Journal
  /** What the journal tells, up to its last message. */
  readonly local: Store
  /** Bytes of its rows. */
  readonly liveBytes: number
  /** Bytes of the journal that tell no more than its rows do. */
  readonly grownBytes: number
  /** Writes that wait for the journal, in bytes; beyond them `write` rejects with OverloadError. */
  readonly pendingBytesMax: number
  /** Of one message. */
  readonly recordBytesMax: number
  /** The journal is written anew when it has grown by so much, or by twice the rows' bytes where that is more. */
  readonly compactBytesMin: number
  /** Told once, when nothing more can be written: by whom it may, or why not. */
  lost(error: Error): void
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
  /** The last message that it makes superfluous. */
  readonly upTo: number
  table: number
  start: string
  liveBytes: number
}

const retryAfterMs = 100
/** What a message costs the stream beside its data, about. */
const messageBytes = 150
/** What a call costs beside its bytes, about. */
const callBytes = 100

/**
 * The tables of a queue shard: rows are in a local store that can be made again at any time, and every write is in a
 * journal of NATS before it is there.
 *
 * One message is under way at a time, and what is written meanwhile makes the next one; what belongs together and is too
 * much for a message is spread over several, which count only when the last one is there.
 * When the journal has grown much beyond the rows, the rows are written to it once more, a part at a time between other
 * writes, and everything from before is dropped: a row is either among them, or was changed since.
 */
export class JournalStore implements Store {
  readonly #options: JournalStoreOptions
  #calls: Call[] = []
  #pendingBytes = 0
  #running: Promise<void> | undefined
  #applying: Promise<void> = Promise.resolve()
  #failure: Error | undefined
  #grownBytes: number
  #liveBytes: number
  #compaction: Compaction | undefined

  constructor(options: JournalStoreOptions) {
    this.#options = options
    this.#grownBytes = options.grownBytes
    this.#liveBytes = options.liveBytes
  }

  /** Bytes that wait; bytes written since the journal was last written anew. */
  figures(): { readonly pendingBytes: number; readonly grownBytes: number } {
    return { pendingBytes: this.#pendingBytes, grownBytes: this.#grownBytes }
  }

  get(table: Table, key: string): Uint8Array | undefined {
    return this.#options.local.get(table, key)
  }

  range(table: Table, range?: Range): Iterable<Entry> {
    return this.#options.local.range(table, range)
  }

  write(writes: readonly Write[]): Promise<void> {
    return this.#add(writes, false)
  }

  /** Resolves when the journal has taken a message since: what is read then was true after the call. */
  confirm(): Promise<void> {
    return this.#add([], true)
  }

  flushed(): Promise<void> {
    return this.#add([], false).catch(() => undefined)
  }

  /** Takes no more, ends when what was taken is written or refused, and closes what is local. */
  async close(): Promise<void> {
    this.#fail(new ClosedError())
    await this.#running
    await this.#applying
    await this.#options.local.close()
  }

  #add(writes: readonly Write[], forced: boolean): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    const bytes = encodeWrites(writes)
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
    // To the end of the turn: the other calls of this turn share the message.
    await new Promise(setImmediate)
    // Ends: with the calls that wait: each turn takes some.
    while ((this.#calls.length > 0 || this.#compaction) && this.#failure === undefined) {
      const group = this.#take()
      try {
        if (group.some(({ forced, bytes }) => forced || bytes.length > 0)) await this.#append(group)
      } catch (error) {
        for (const call of group) this.#refuse(call, error)
        throw error
      }
      this.#apply(group)
      if (this.#isToCompact()) await this.#compact()
    }
  }

  /** The next calls in order, whole; more than one only where they fit into one message. */
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

  async #append(group: readonly Call[]): Promise<void> {
    const { recordBytesMax } = this.#options
    const [first] = group
    if (group.length > 1 || first!.bytes.length <= recordBytesMax) {
      return this.#send(
        encodeRecord(
          group.map(({ bytes }) => bytes),
          { more: false, claim: false },
        ),
      )
    }
    const { bytes } = first!
    for (let at = 0; at < bytes.length; at += recordBytesMax) {
      const more = at + recordBytesMax < bytes.length
      await this.#send(encodeRecord([bytes.subarray(at, at + recordBytesMax)], { more, claim: false }))
    }
  }

  async #send(record: Buffer): Promise<void> {
    await this.#options.journal.append(record)
    this.#grownBytes += record.length + messageBytes
  }

  /** Rows of later calls are not there before those of earlier ones. */
  #apply(group: readonly Call[]): void {
    if (group.length === 0) return
    const writes = group.length === 1 ? group[0]!.writes : group.flatMap((call) => call.writes)
    const written = writes.length === 0 ? this.#applying : this.#options.local.write(writes)
    this.#applying = written.then(
      () => {
        for (const call of group) {
          this.#pendingBytes -= callBytes + call.bytes.length
          call.resolve()
        }
      },
      (error: unknown) => {
        for (const call of group) this.#refuse(call, error)
        this.#lose(error)
      },
    )
  }

  #isToCompact(): boolean {
    if (this.#compaction) return true
    return this.#grownBytes >= Math.max(this.#options.compactBytesMin, 2 * this.#liveBytes)
  }

  /** Writes the next part of the rows. */
  async #compact(): Promise<void> {
    const { journal } = this.#options
    await this.#applying
    if (this.#failure) return
    this.#compaction ??= { upTo: journal.last, table: 0, start: "", liveBytes: 0 }
    const compaction = this.#compaction
    const rows = this.#rows(compaction)
    if (rows.length > 0) {
      const bytes = encodeWrites(rows)
      compaction.liveBytes += bytes.length
      return this.#appendRows(bytes)
    }
    this.#compaction = undefined
    this.#liveBytes = compaction.liveBytes
    this.#grownBytes = 0
    // Where it fails the next time drops these too.
    await journal.purge(compaction.upTo + 1).catch(() => undefined)
  }

  async #appendRows(bytes: Buffer): Promise<void> {
    const { journal, recordBytesMax } = this.#options
    for (let at = 0; at < bytes.length; at += recordBytesMax) {
      const more = at + recordBytesMax < bytes.length
      await journal.append(encodeRecord([bytes.subarray(at, at + recordBytesMax)], { more, claim: false }))
    }
  }

  /** Rows from where it has come to, about half a message of them; none: that was all. */
  #rows(compaction: Compaction): readonly Write[] {
    const { local, recordBytesMax } = this.#options
    const rows: Write[] = []
    let size = 0
    for (; compaction.table < tables.length; compaction.table++, compaction.start = "") {
      const table = tables[compaction.table]!
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
    this.#pendingBytes -= callBytes + call.bytes.length
    call.reject(errorOf(error))
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
