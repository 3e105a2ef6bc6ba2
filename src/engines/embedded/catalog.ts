import type { Catalog, CatalogWrite, Change, Expectation, Item } from "../../core/catalog.ts"
import { ClosedError, ConflictError } from "../../core/errors.ts"
import { parseExact } from "../../formats/exact-json.ts"
import type { Store, Write } from "../parts/store.ts"

const revisionKey = "catalog-revision"
/** Sorts after every key that begins with the text before it: keys are ASCII. */
const last = "\x7f"
/** Items that a watcher reads in one step of its listing. */
const chunkItems = 256

export interface EmbeddedCatalog extends Catalog {
  /** Takes nothing more, ends the watches, and resolves when what was taken is written. The store is not closed. */
  close(): Promise<void>
}

/**
 * Opens the catalog that `store` holds: values as JSON, revisions from one counter that never goes back.
 *
 * A change is held against those that are still being written, so changes need not wait for each other's flush. Watchers
 * hear of a change when it can be read: what they write in answer is behind it in the store, so no crash keeps the one
 * without the other.
 */
export async function openCatalog(options: CatalogOptions): Promise<EmbeddedCatalog> {
  return new StoreCatalog(options)
}

export interface CatalogOptions {
  readonly store: Store
  /** Runs what is given to it in a turn of its own. */
  defer(run: () => void): void
}

/** A change that is being written. */
interface Pending {
  readonly key: string
  readonly revision: number
  /** Undefined deletes. */
  readonly json: string | undefined
  /** Settles when the change can be read, or never will be. */
  readonly written: Promise<void>
}

interface Watcher {
  readonly prefix: string
  /** Keys before this one have been listed; changes of the others will be. */
  listedTo: string
  /** The newest change of each key that the reader has not taken yet; so it never holds more than there are keys. */
  readonly changes: Map<string, Change<unknown>>
  wake: () => void
}

class StoreCatalog implements EmbeddedCatalog {
  readonly #store: Store
  readonly #defer: CatalogOptions["defer"]
  readonly #watchers = new Set<Watcher>()
  /** The newest change of each key that is being written. */
  readonly #pending = new Map<string, Pending>()
  /** The last revision that was given. */
  #revision: number
  #closed = false

  constructor({ store, defer }: CatalogOptions) {
    this.#store = store
    this.#defer = defer
    const stored = store.get("meta", revisionKey)
    this.#revision = stored === undefined ? 0 : Number(Buffer.from(stored).toString("latin1"))
  }

  async get<T>(key: string): Promise<Item<T> | undefined> {
    const stored = this.#store.get("catalog", key)
    return stored && decode<T>(key, stored)
  }

  async list<T>(
    prefix: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly Item<T>[]> {
    const { after, limit } = options
    return this.#read<T>(prefix, after === undefined || after < prefix ? prefix : `${after}\0`, limit)
  }

  async put(key: string, value: unknown, expected?: number): Promise<number> {
    const json = JSON.stringify(value)
    const actual = this.#revisionOf(key)
    if (expected !== undefined && expected !== actual) return this.#refuse(key, expected, actual)
    return (await this.#write([{ key, json }]))[0]!
  }

  async delete(key: string, expected?: number): Promise<boolean> {
    const actual = this.#revisionOf(key)
    if (expected !== undefined && expected !== actual) return this.#refuse(key, expected, actual)
    if (actual === 0) return false
    await this.#write([{ key, json: undefined }])
    return true
  }

  async change(writes: readonly CatalogWrite[], conditions: readonly Expectation[] = []): Promise<readonly number[]> {
    const rows = writes.map(({ key, value }) => ({ key, json: JSON.stringify(value) as string | undefined }))
    const actual = new Map([...writes, ...conditions].map(({ key }) => [key, this.#revisionOf(key)]))
    for (const { key, expected } of [...conditions, ...writes]) {
      if (expected !== undefined && expected !== actual.get(key)) return this.#refuse(key, expected, actual.get(key)!)
    }
    const changing = rows.filter(({ key, json }) => json !== undefined || actual.get(key) !== 0)
    const revisions = changing.length === 0 ? [] : await this.#write(changing)
    return rows.map((row) => (row.json === undefined ? 0 : revisions[changing.indexOf(row)]!))
  }

  async *watch<T>(prefix: string, stop: AbortSignal): AsyncGenerator<Change<T>> {
    const watcher: Watcher = { prefix, listedTo: prefix, changes: new Map(), wake: () => {} }
    const wake = () => watcher.wake()
    const over = () => stop.aborted || this.#closed
    this.#watchers.add(watcher)
    stop.addEventListener("abort", wake)
    try {
      // Ends: each part begins behind the one before.
      while (watcher.listedTo !== prefix + last) {
        for (const item of this.#listOn<T>(watcher)) {
          if (over()) return
          yield { kind: "put", item }
        }
        // Who reads it works on each item at once: without a rest nothing else would get a turn until the last one.
        if (watcher.listedTo !== prefix + last) await new Promise<void>((resolve) => this.#defer(resolve))
      }
      if (over()) return
      yield { kind: "current" }
      // Ends: with `stop`, or when the catalog closes.
      while (!over()) {
        const [first] = watcher.changes
        if (first === undefined) {
          await new Promise<void>((resolve) => {
            watcher.wake = resolve
          })
          continue
        }
        const [key, change] = first
        watcher.changes.delete(key)
        yield change as Change<T>
      }
    } finally {
      stop.removeEventListener("abort", wake)
      this.#watchers.delete(watcher)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const watcher of this.#watchers) watcher.wake()
    await this.#store.flushed()
  }

  #read<T>(prefix: string, start: string, limit: number): readonly Item<T>[] {
    const range = { start, end: prefix + last, limit }
    return Array.from(this.#store.range("catalog", range), ({ key, value }) => decode<T>(key, value))
  }

  /** Reads the next part of a watcher's listing. */
  #listOn<T>(watcher: Watcher): readonly Item<T>[] {
    const items = this.#read<T>(watcher.prefix, watcher.listedTo, chunkItems)
    watcher.listedTo = items.length < chunkItems ? watcher.prefix + last : `${items.at(-1)!.key}\0`
    return items
  }

  /** Waits until the change that came first can be read, so that whoever reads and tries again does not spin. */
  async #refuse(key: string, expected: number, actual: number): Promise<never> {
    await this.#pending.get(key)?.written.catch(() => {})
    throw new ConflictError(key, expected, actual)
  }

  /** 0 where the key has none. */
  #revisionOf(key: string): number {
    if (this.#closed) throw new ClosedError()
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending.json === undefined ? 0 : pending.revision
    const stored = this.#store.get("catalog", key)
    return stored === undefined ? 0 : decode(key, stored).revision
  }

  /** Together; answers their revisions. */
  async #write(rows: readonly Pick<Pending, "key" | "json">[]): Promise<readonly number[]> {
    const changes = rows.map((row) => ({ ...row, revision: ++this.#revision }))
    const written = this.#store.write([
      ...changes.map(({ key, json, revision }): Write => {
        return { table: "catalog", key, value: json === undefined ? undefined : Buffer.from(`${revision} ${json}`) }
      }),
      { table: "meta", key: revisionKey, value: Buffer.from(String(this.#revision), "latin1") },
    ])
    const pending = changes.map((change): Pending => ({ ...change, written }))
    for (const each of pending) this.#pending.set(each.key, each)
    try {
      await written
    } finally {
      for (const each of pending) if (this.#pending.get(each.key) === each) this.#pending.delete(each.key)
    }
    for (const each of pending) this.#tell(each)
    await this.#store.flushed()
    return pending.map(({ revision }) => revision)
  }

  #tell({ key, revision, json }: Pending): void {
    let change: Change<unknown> | undefined
    for (const watcher of this.#watchers) {
      if (!key.startsWith(watcher.prefix) || key >= watcher.listedTo) continue
      change ??=
        json === undefined
          ? { kind: "delete", key }
          : { kind: "put", item: { key, value: parseExact(json) as unknown, revision } }
      // Taken out first, so that it comes in the order of its newest change.
      watcher.changes.delete(key)
      watcher.changes.set(key, change)
      watcher.wake()
    }
  }
}

/** `<revision> <value as JSON>` */
function decode<T>(key: string, stored: Uint8Array): Item<T> {
  const text = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).toString()
  const end = text.indexOf(" ")
  return { key, value: parseExact(text.slice(end + 1)) as T, revision: Number(text.slice(0, end)) }
}
