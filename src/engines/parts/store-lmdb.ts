import { mkdirSync, statfsSync } from "node:fs"
import { type Database, open, type RangeOptions, type RootDatabase } from "lmdb"
import { ClosedError, DamagedError, OverloadError, StorageError, StorageFullError } from "../../core/errors.ts"
import { checkedValue, Digests, openValue, Sums, sumOf } from "./checked-value.ts"
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
  /** Told when something in the tables is found not to be as it was written; what asked for it is refused with DamagedError. */
  onDamage?(what: string): void
}

/** A key longer than this is refused by LMDB with its 4 KiB pages. */
const keyBytesMax = 1_900
/** Above every key: the first byte of no ASCII text. */
const pastAll = "\u{10ffff}"
/** The errno of a full disk, and of a write that came to less than was asked, as LMDB hands them on. */
const [noSpace, shortWrite] = [28, 5]
/** With less room than this the latter is the former. */
const roomMin = 1 << 20

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
export function openLmdbStore(path: string, options: LmdbStoreOptions = {}): CheckedStore {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const root = open({
      path,
      mapSize: options.mapBytes ?? 64 * 2 ** 30,
      maxDbs: tables.length + 1,
      encoding: "binary",
      // Off: calls are grouped here, and a transaction never spans what LMDB would take for one turn of the event loop.
      eventTurnBatching: false,
      // Off: with one commit at a time it gains nothing, and without it a commit that ended is on disk.
      overlappingSync: false,
      // A crash of the machine may take back the last commit, which whoever keeps a journal has in it.
      ...(options.durable === false ? { noSync: true } : { noMetaSync: true }),
    })
    const openTable = (name: string) => root.openDB({ name: `${name}.2`, encoding: "binary", keyEncoder } as never)
    const databases = Object.fromEntries(tables.map((name) => [name, openTable(name)])) as unknown as Databases
    return new LmdbStore(path, root, databases, openTable("digests") as unknown as Database<Buffer, string>, options)
  } catch (error) {
    throw storageError(error, `${path} cannot be opened`)
  }
}

/**
 * Checks what the tables in `path` hold, and writes it into new ones in the directory `to`. Row by row: in a file that LMDB's own
 * compacting copy has made (3.5.6), deleting a few hundred large rows kills the process. Throws DamagedError, StorageError.
 */
export async function copyTables(path: string, to: string): Promise<void> {
  const from = openLmdbStore(path)
  try {
    const copy = openLmdbStore(to)
    try {
      await from.verify(undefined, (writes) => copy.write(writes))
    } finally {
      await copy.close()
    }
  } finally {
    await from.close()
  }
}

type Databases = Record<Table, Database<Buffer, string>>

/** A store that can tell whether it is as it was written. */
export interface CheckedStore extends Store {
  /**
   * Reads every row; throws DamagedError where one is missing, was changed, or is too many. `rows` is told how many were read,
   * `take` is given them.
   */
  verify(rows?: (read: number) => void, take?: (rows: readonly Write[]) => Promise<void>): Promise<void>
}

/** Rows that are read in one step. */
const stepRows = 5_000
const digestKey = "digests"

class LmdbStore implements CheckedStore {
  readonly #path: string
  readonly #root: RootDatabase
  readonly #databases: Databases
  readonly #digestTable: Database<Buffer, string>
  readonly #digests: Digests
  readonly #onDamage: (what: string) => void
  readonly #pendingMax: number
  readonly #commitMax: number
  #calls: Call[] = []
  #pendingWrites = 0
  #committing: Promise<void> | undefined
  #closed = false

  constructor(
    path: string,
    root: RootDatabase,
    databases: Databases,
    digestTable: Database<Buffer, string>,
    options: LmdbStoreOptions,
  ) {
    this.#path = path
    this.#root = root
    this.#databases = databases
    this.#digestTable = digestTable
    this.#digests = new Digests(digestTable.getBinary(digestKey))
    this.#onDamage = options.onDamage ?? (() => {})
    this.#pendingMax = options.pendingMax ?? 1_000_000
    this.#commitMax = options.commitMax ?? 10_000
  }

  get(table: Table, key: string): Uint8Array | undefined {
    if (this.#closed) throw new ClosedError()
    if (!isKey(key)) return undefined
    const stored = this.#reading(table, () => this.#databases[table].getBinary(key))
    return stored && this.#checked(table, key, stored)
  }

  range(table: Table, range: Range = {}): Iterable<Entry> {
    if (this.#closed) throw new ClosedError()
    const start = range.start ?? "\0"
    const end = range.end ?? pastAll
    const options: RangeOptions = range.reverse
      ? { start: end, exclusiveStart: true, end: start, inclusiveEnd: true, reverse: true }
      : { start, end }
    if (range.limit !== undefined) options.limit = range.limit
    return this.#checkedRange(table, this.#databases[table].getRange(options))
  }

  *#checkedRange(table: Table, found: Iterable<{ readonly key: string; readonly value: Buffer }>): Iterable<Entry> {
    const rows = this.#reading(table, () => found[Symbol.iterator]())
    try {
      // Ends: with the rows.
      for (;;) {
        const row = this.#reading(table, () => rows.next())
        if (row.done) return
        const { key, value } = row.value
        yield { key, value: this.#checked(table, key, value) }
      }
    } finally {
      rows.return?.()
    }
  }

  /** What LMDB cannot read is damage: a disk that does not answer ends the process. */
  #reading<T>(table: Table, read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw this.#damagedBy(error, `the table ${table}`)
    }
  }

  #damagedBy(error: unknown, what: string): DamagedError {
    const { message } = error as { message?: string }
    this.#onDamage(`${what}: ${message}`)
    return new DamagedError(`the state: ${what}: ${message}`)
  }

  #checked(table: Table, key: string, stored: Buffer): Uint8Array {
    const value = openValue(key, stored)
    if (value !== undefined) return value
    this.#onDamage(`the row ${key} of ${table}`)
    throw new DamagedError(`the state: the row ${key} of ${table}`)
  }

  async verify(
    rows: (read: number) => void = () => {},
    take?: (rows: readonly Write[]) => Promise<void>,
  ): Promise<void> {
    let read = 0
    for (const table of tables) {
      const sums = new Sums()
      let step = stepRows
      // Ends: with the rows: each turn begins behind the last one.
      for (let start = "\0"; step === stepRows; ) {
        step = 0
        const taken: Write[] = []
        for (const { key, value } of this.range(table, { start, limit: stepRows })) {
          step++
          start = `${key}\0`
          sums.add(sumOf(key, value))
          if (take) taken.push({ table, key, value: Buffer.from(value) })
        }
        read += step
        rows(read)
        if (take) await take(taken)
        await new Promise(setImmediate)
      }
      if (!this.#digests.agrees(table, sums))
        throw new DamagedError(`the state: the rows of ${table} are not all there`)
    }
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
        const failed = this.#failureOf((await commitError(error)) ?? error)
        const prefix = calls.concat(this.#calls.splice(0))
        this.#pendingWrites = 0
        for (const call of prefix) call.reject(failed)
      }
    }
    this.#committing = undefined
  }

  #failureOf(error: unknown): StorageError | StorageFullError | DamagedError {
    const { code, message } = error as { code?: unknown; message?: string }
    // What else LMDB has names for says that the file is not as it wrote it.
    if (/MDB_(?!MAP_FULL|TXN_FULL|READERS_FULL)|corrupt/i.test(`${message}`)) return this.#damagedBy(error, "a commit")
    // A write for which there was room in part only is no more to LMDB than one that failed.
    const isShort = code === shortWrite && roomFor(this.#path) < roomMin
    return storageError(isShort ? Object.assign(new Error(), { code: noSpace }) : error, "the commit failed")
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
  async #commit(calls: readonly Call[]): Promise<void> {
    const next = this.#digests.begin()
    await this.#root.batch(() => {
      for (const call of calls) for (const write of call.writes) this.#put(write, next)
      if (next.isChanged) this.#digestTable.put(digestKey, next.encode())
    })
    next.commit()
  }

  #put({ table, key, value }: Write, next: ReturnType<Digests["begin"]>): void {
    const database = this.#databases[table]
    const before = () => database.getBinaryFast(key)
    if (value === undefined) {
      next.remove(table, key, before)
      database.remove(key)
      return
    }
    const stored = checkedValue(key, value)
    next.put(table, key, stored, before)
    database.put(key, stored)
  }
}

function isKey(key: string): boolean {
  return key.length > 0 && (key.length <= keyBytesMax / 3 || Buffer.byteLength(key) <= keyBytesMax)
}

function roomFor(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
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
