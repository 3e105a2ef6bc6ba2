import type { Catalog, Change, Item } from "../../core/engine.ts"
import { ClosedError, ConflictError } from "../../core/errors.ts"
import type { Store, Write } from "./store.ts"

const revisionKey = "catalog-revision"
/** Sorts after every key that begins with the text before it: keys are ASCII. */
const last = "\x7f"

/** The catalog in the store's table: values as JSON, revisions from one counter that never goes back. */
export async function openCatalog(options: { readonly store: Store }): Promise<Catalog & { close(): void }> {
  return new StoreCatalog(options.store)
}

interface Watcher {
  readonly prefix: string
  /** The newest change of each key that the reader has not taken yet. */
  changes: Map<string, Change<unknown>>
  wake: () => void
}

class StoreCatalog implements Catalog {
  readonly #store: Store
  readonly #watchers = new Set<Watcher>()
  #revision: number
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(store: Store) {
    this.#store = store
    const stored = store.get("meta", revisionKey)
    this.#revision = stored === undefined ? 0 : Number(Buffer.from(stored).toString("latin1"))
  }

  async get<T>(key: string): Promise<Item<T> | undefined> {
    return this.#read<T>(key)
  }

  #read<T>(key: string): Item<T> | undefined {
    const stored = this.#store.get("catalog", key)
    return stored === undefined ? undefined : decode<T>(key, stored)
  }

  async list<T>(
    prefix: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<readonly Item<T>[]> {
    const { after, limit } = options
    // The least key that sorts after `after`.
    const start = after === undefined || after < prefix ? prefix : `${after}\x01`
    const range = { start, end: `${prefix}${last}`, ...(limit !== undefined && { limit }) }
    return [...this.#store.range("catalog", range)].map(({ key, value }) => decode<T>(key, value))
  }

  put(key: string, value: unknown, expected?: number): Promise<number> {
    return this.#inTurn(async () => {
      this.#check(key, expected)
      const revision = this.#revision + 1
      await this.#write({ table: "catalog", key, value: encode(revision, value) }, revision)
      this.#tell(key, { kind: "put", item: { key, value: JSON.parse(JSON.stringify(value)), revision } })
      return revision
    })
  }

  delete(key: string, expected?: number): Promise<boolean> {
    return this.#inTurn(async () => {
      this.#check(key, expected)
      if (this.#store.get("catalog", key) === undefined) return false
      await this.#write({ table: "catalog", key, value: undefined }, this.#revision + 1)
      this.#tell(key, { kind: "delete", key })
      return true
    })
  }

  #check(key: string, expected: number | undefined): void {
    if (this.#closed) throw new ClosedError()
    const actual = this.#read(key)?.revision ?? 0
    if (expected !== undefined && expected !== actual) throw new ConflictError(key, expected, actual)
  }

  async #write(write: Write, revision: number): Promise<void> {
    await this.#store.write([
      write,
      { table: "meta", key: revisionKey, value: Buffer.from(String(revision), "latin1") },
    ])
    await this.#store.flushed()
    this.#revision = revision
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change)
    this.#turn = turn.catch(() => {})
    return turn
  }

  #tell(key: string, change: Change<unknown>): void {
    for (const watcher of this.#watchers) {
      if (!key.startsWith(watcher.prefix)) continue
      watcher.changes.delete(key)
      watcher.changes.set(key, change)
      watcher.wake()
    }
  }

  async *watch<T>(prefix: string, stop: AbortSignal): AsyncIterable<Change<T>> {
    const watcher: Watcher = { prefix, changes: new Map(), wake: () => {} }
    this.#watchers.add(watcher)
    try {
      for (const item of await this.list<T>(prefix)) {
        if (stop.aborted) return
        yield { kind: "put", item }
      }
      yield { kind: "current" }
      while (!stop.aborted && !this.#closed) {
        const changes = watcher.changes
        watcher.changes = new Map()
        for (const change of changes.values()) {
          if (stop.aborted) return
          yield change as Change<T>
        }
        if (watcher.changes.size === 0) await this.#more(watcher, stop)
      }
    } finally {
      this.#watchers.delete(watcher)
    }
  }

  #more(watcher: Watcher, stop: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (stop.aborted || this.#closed) return resolve()
      const wake = () => {
        stop.removeEventListener("abort", wake)
        watcher.wake = () => {}
        resolve()
      }
      watcher.wake = wake
      stop.addEventListener("abort", wake, { once: true })
    })
  }

  close(): void {
    this.#closed = true
    for (const watcher of this.#watchers) watcher.wake()
  }
}

function encode(revision: number, value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify({ revision, value }))
}

function decode<T>(key: string, stored: Uint8Array): Item<T> {
  const { revision, value } = JSON.parse(Buffer.from(stored).toString()) as { revision: number; value: T }
  return { key, value, revision }
}
