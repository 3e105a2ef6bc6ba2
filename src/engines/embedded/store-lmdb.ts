import { mkdirSync } from "node:fs"
import { type Database, open, type RangeOptions, type RootDatabase } from "lmdb"
import { ClosedError, OverloadError, StorageError, StorageFullError } from "../../core/errors.ts"
import { type Entry, type Range, type Store, type Table, tables, type Write } from "./store.ts"

export interface LmdbStoreOptions {
  /** Address space to map at first, in bytes; it doubles when the data outgrows it. Costs neither memory nor disk. */
  readonly mapBytes?: number
  /** Row writes that may wait for a commit; beyond them `write` rejects with OverloadError. */
  readonly pendingMax?: number
  /** Row writes that one commit takes at most, unless a single call has more. */
  readonly commitMax?: number
  /** Whether a commit waits for the disk; default true. Without it a crash of the machine may damage all: for what can be made again. */
  readonly durable?: boolean
}

/** A key longer than this is refused by LMDB with its 4 KiB pages. */
const keyBytesMax = 1_900
/** Above every key: the first byte of no ASCII text. */
const pastAll = "\u{10ffff}"
/** The errno of a full disk, as LMDB hands it on. */
const noSpace = 28

interface Call {
  readonly writes: readonly Write[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Keys are their UTF-8 bytes, so they compare as the contract says; 0.3 us a put less than LMDB's own key format. */
const keyEncoder = {
  writeKey: (key: string, target: Buffer, start: number) => start + target.write(key, start),
  readKey: (source: Buffer, start: number, end: number) => source.toString("utf8", start, end),
}

/**
 * Opens, or makes, the tables in the directory `path`. Throws StorageError or StorageFullError where that is not possible.
 *
 * One commit is under way at a time and takes all calls that came meanwhile, each call whole, so a call costs no flush
 * of its own. LMDB commits are on disk when they end: a write that resolved is flushed.
 * When a commit fails, every call that came before the failure was known fails with it, so that what is stored is always
 * a prefix of the calls; calls made after that are tried anew.
 */
export function openLmdbStore(path: string, options: LmdbStoreOptions = {}): Store {
  try {
    mkdirSync(path, { recursive: true })
    const root = open({
      path,
      mapSize: options.mapBytes ?? 64 * 2 ** 30,
      maxDbs: tables.length,
      encoding: "binary",
      // Off: calls are grouped here, and a transaction never spans what LMDB would take for one turn of the event loop.
      eventTurnBatching: false,
      // Off: with one commit at a time it gains nothing, and without it a commit that ended is on disk.
      overlappingSync: false,
      ...(options.durable === false && { noSync: true }),
    })
    const databases = Object.fromEntries(
      tables.map((name) => [name, root.openDB({ name, encoding: "binary", keyEncoder } as never)]),
    ) as unknown as Record<Table, Database<Buffer, string>>
    return new LmdbStore(root, databases, options)
  } catch (error) {
    throw storageError(error, `${path} cannot be opened`)
  }
}

class LmdbStore implements Store {
  readonly #root: RootDatabase
  readonly #databases: Record<Table, Database<Buffer, string>>
  readonly #pendingMax: number
  readonly #commitMax: number
  #calls: Call[] = []
  #pendingWrites = 0
  #committing: Promise<void> | undefined
  #closed = false

  constructor(root: RootDatabase, databases: Record<Table, Database<Buffer, string>>, options: LmdbStoreOptions) {
    this.#root = root
    this.#databases = databases
    this.#pendingMax = options.pendingMax ?? 1_000_000
    this.#commitMax = options.commitMax ?? 10_000
  }

  get(table: Table, key: string): Uint8Array | undefined {
    if (this.#closed) throw new ClosedError()
    return isKey(key) ? this.#databases[table].getBinary(key) : undefined
  }

  range(table: Table, range: Range = {}): Iterable<Entry> {
    if (this.#closed) throw new ClosedError()
    const start = range.start ?? "\0"
    const end = range.end ?? pastAll
    const options: RangeOptions = range.reverse
      ? { start: end, exclusiveStart: true, end: start, inclusiveEnd: true, reverse: true }
      : { start, end }
    if (range.limit !== undefined) options.limit = range.limit
    return this.#databases[table].getRange(options)
  }

  write(writes: readonly Write[]): Promise<void> {
    if (this.#closed) return Promise.reject(new ClosedError())
    const wrong = writes.find((write) => !isKey(write.key))
    if (wrong) return Promise.reject(new RangeError(`a key of ${wrong.key.length} characters cannot be stored`))
    if (this.#pendingWrites + writes.length > this.#pendingMax) return Promise.reject(new OverloadError(100))
    return new Promise((resolve, reject) => {
      this.#calls.push({ writes, resolve, reject })
      this.#pendingWrites += writes.length
      this.#committing ??= this.#commitAll()
    })
  }

  flushed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#committing === undefined) return resolve()
      // A commit that fails leaves nothing to flush: its writers were told.
      this.#calls.push({ writes: [], resolve, reject: () => resolve() })
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#committing
    await this.#root.close()
  }

  async #commitAll(): Promise<void> {
    // To the end of the turn: the other calls of this turn share the commit.
    await new Promise(setImmediate)
    while (this.#calls.length > 0) {
      const calls = this.#take()
      try {
        await this.#commit(calls)
        for (const call of calls) call.resolve()
      } catch (error) {
        const failed = storageError((await commitError(error)) ?? error, "the commit failed")
        const prefix = calls.concat(this.#calls.splice(0))
        this.#pendingWrites = 0
        for (const call of prefix) call.reject(failed)
      }
    }
    this.#committing = undefined
  }

  /** The next calls in order, whole, up to the limit of one commit. */
  #take(): readonly Call[] {
    let writes = 0
    let count = 0
    for (const call of this.#calls) {
      if (count > 0 && writes + call.writes.length > this.#commitMax) break
      writes += call.writes.length
      count++
    }
    this.#pendingWrites -= writes
    if (count < this.#calls.length) return this.#calls.splice(0, count)
    const all = this.#calls
    this.#calls = []
    return all
  }

  /** One LMDB transaction: it cannot end inside of `batch`. */
  #commit(calls: readonly Call[]): Promise<unknown> {
    return this.#root.batch(() => {
      for (const call of calls) {
        for (const { table, key, value } of call.writes) {
          if (value === undefined) this.#databases[table].remove(key)
          else this.#databases[table].put(key, value as Buffer)
        }
      }
    })
  }
}

function isKey(key: string): boolean {
  return key.length > 0 && (key.length <= keyBytesMax / 3 || Buffer.byteLength(key) <= keyBytesMax)
}

/** LMDB rejects with an error that only leads to the real one. */
async function commitError(error: unknown): Promise<unknown> {
  const reason = (error as { commitError?: Promise<never> }).commitError
  return reason?.then(
    () => undefined,
    (cause: unknown) => cause,
  )
}

function storageError(cause: unknown, what: string): StorageFullError | StorageError {
  const code = (cause as { code?: unknown }).code
  if (code === noSpace || code === "ENOSPC") return new StorageFullError(`${what}: no space left`, { cause })
  return new StorageError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
}
