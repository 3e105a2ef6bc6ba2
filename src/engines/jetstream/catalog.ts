import type { Catalog, CatalogWrite, Change, Expectation, Item } from "../../core/catalog.ts"
import { ClosedError } from "../../core/errors.ts"
import { parseExact } from "../../formats/exact-json.ts"
import { Bucket, type BucketOptions, type Entry, type EntryChange } from "./bucket.ts"

export interface JetStreamCatalog extends Catalog {
  close(): Promise<void>
}

/** The catalog in a key-value bucket of NATS: values as JSON, a revision is the place in the bucket's stream. */
export async function openCatalog(options: BucketOptions): Promise<JetStreamCatalog> {
  return new BucketCatalog(await Bucket.open(options))
}

interface Watcher {
  readonly prefix: string
  /** The newest change of each key that the reader has not taken yet; so it never holds more than there are keys. */
  readonly changes: Map<string, EntryChange>
  wake: () => void
}

class BucketCatalog implements JetStreamCatalog {
  readonly #bucket: Bucket
  readonly #watchers = new Set<Watcher>()
  #closed = false

  constructor(bucket: Bucket) {
    this.#bucket = bucket
    bucket.listen((change) => {
      for (const watcher of this.#watchers) tell(watcher, change)
    })
  }

  async get<T>(key: string, { newest = false }: { readonly newest?: boolean } = {}): Promise<Item<T> | undefined> {
    // What another process has just made may not have come by here yet; that it is not there, only the servers know.
    const entry = (newest ? undefined : this.#bucket.get(key)) ?? (await this.#bucket.fetch(key))
    return entry && itemOf<T>(entry)
  }

  async list<T>(
    prefix: string,
    { after, limit }: { readonly after?: string; readonly limit: number },
  ): Promise<readonly Item<T>[]> {
    const items: Item<T>[] = []
    const start = after === undefined || after < prefix ? prefix : `${after}\0`
    for (const entry of this.#bucket.range(prefix, start)) {
      if (items.length >= limit) break
      items.push(itemOf<T>(entry))
    }
    return items
  }

  async put(key: string, value: unknown, expected?: number): Promise<number> {
    const text = JSON.stringify(value)
    if (this.#closed) throw new ClosedError()
    return this.#bucket.put(key, text, expected)
  }

  async delete(key: string, expected?: number): Promise<boolean> {
    if (this.#closed) throw new ClosedError()
    return this.#bucket.delete(key, expected)
  }

  async change(writes: readonly CatalogWrite[], conditions: readonly Expectation[] = []): Promise<readonly number[]> {
    const texts = writes.map(({ value, ...write }) => ({ ...write, text: JSON.stringify(value) as string | undefined }))
    if (this.#closed) throw new ClosedError()
    return this.#bucket.change(texts, conditions)
  }

  async *watch<T>(prefix: string, stop: AbortSignal): AsyncGenerator<Change<T>> {
    const watcher: Watcher = { prefix, changes: new Map(), wake: () => {} }
    const wake = () => watcher.wake()
    const over = () => stop.aborted || this.#closed
    const listing = [...this.#bucket.range(prefix, prefix)]
    this.#watchers.add(watcher)
    stop.addEventListener("abort", wake)
    try {
      for (const entry of listing) {
        if (over()) return
        yield changeOf(entry)
      }
      if (over()) return
      yield { kind: "current" }
      // Ends: with `stop`, or when the catalog closes.
      while (!over()) {
        const change = take(watcher)
        if (change !== undefined) yield changeOf<T>(change)
        else await new Promise<void>((resolve) => (watcher.wake = resolve))
      }
    } finally {
      stop.removeEventListener("abort", wake)
      this.#watchers.delete(watcher)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const watcher of this.#watchers) watcher.wake()
    await this.#bucket.close()
  }
}

function take({ changes }: Watcher): EntryChange | undefined {
  const [first] = changes
  if (first === undefined) return undefined
  const [key, change] = first
  changes.delete(key)
  return change
}

/** Taken out first, so that it comes in the order of its newest change. */
function tell(watcher: Watcher, change: EntryChange): void {
  if (!change.key.startsWith(watcher.prefix)) return
  watcher.changes.delete(change.key)
  watcher.changes.set(change.key, change)
  watcher.wake()
}

function changeOf<T>(change: EntryChange): Change<T> {
  return change.text === undefined ? { kind: "delete", key: change.key } : { kind: "put", item: itemOf<T>(change) }
}

function itemOf<T>({ key, text, revision }: Entry): Item<T> {
  return { key, value: parseExact(text) as T, revision }
}
