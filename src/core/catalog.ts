/** Small, named, versioned state: topics, triggers, destinations, keys. Values are JSON. */
export interface Catalog {
  /**
   * Answers what this process knows of the key. With `newest` it asks where the value is stored, and throws UnavailableError
   * where nobody answers.
   */
  get<T>(key: string, options?: { readonly newest?: boolean }): Promise<Item<T> | undefined>
  /**
   * Answers the items under `prefix` in the order of their keys, from the first one after `after`, and `limit` at most:
   * `itemsUnder` goes through all of them.
   */
  list<T>(prefix: string, options: { readonly after?: string; readonly limit: number }): Promise<readonly Item<T>[]>
  /**
   * Stores the value and answers its revision; the value is durable when the call resolves. With `expected` it replaces that
   * revision only, 0 meaning that the key must not be there; else it throws ConflictError, once the other write can be read.
   */
  put(key: string, value: unknown, expected?: number): Promise<number>
  /** Deletes the key, durably when it resolves; answers false where it was not there. `expected` is as of {@link Catalog.put}. */
  delete(key: string, expected?: number): Promise<boolean>
  /**
   * Does several writes in one step: all of them or, however it is cut off, none. The writes name no key twice. They are
   * durable when the call resolves; it answers their revisions in order, 0 for a deletion. Where a write or a condition expects
   * another revision than there is, it writes nothing and throws ConflictError, once the other write can be read.
   */
  change(writes: readonly CatalogWrite[], conditions?: readonly Expectation[]): Promise<readonly number[]>
  /** Yields the items that are there, then `current`, then each change in order, until `stop` aborts. */
  watch<T>(prefix: string, stop: AbortSignal): AsyncIterable<Change<T>>
}

/** One write of several. */
export interface CatalogWrite {
  readonly key: string
  /** Undefined deletes. */
  readonly value: unknown
  /** As of {@link Catalog.put}. */
  readonly expected?: number
}

/** The revision that a key must have for a change to be done, 0 for none. The change leaves the key as it is. */
export interface Expectation {
  readonly key: string
  readonly expected: number
}

export interface Item<T> {
  readonly key: string
  readonly value: T
  readonly revision: number
}

/** `current` closes the listing of what was there at the start. */
export type Change<T> =
  | { readonly kind: "put"; readonly item: Item<T> }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "current" }
