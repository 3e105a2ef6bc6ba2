/** Small, named, versioned state: topics, triggers, destinations, keys. Values are JSON. */
export interface Catalog {
  /** `newest`: as it is stored now, also where this process has not heard of that yet. Throws UnavailableError then. */
  get<T>(key: string, options?: { readonly newest?: boolean }): Promise<Item<T> | undefined>
  /** In key order, from after `after`. */
  list<T>(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<readonly Item<T>[]>
  /** Durable when it resolves; answers the new revision. `expected`: the revision this replaces, 0 for none. Throws ConflictError, once what came first can be read. */
  put(key: string, value: unknown, expected?: number): Promise<number>
  /** Durable when it resolves; false where nothing was there. Throws ConflictError. */
  delete(key: string, expected?: number): Promise<boolean>
  /**
   * Several writes as one step, however it is cut off: all of them, or none where one of them or of `conditions` expects what
   * is not so. No key is named twice. Durable when it resolves; answers the new revisions in the order of the writes, 0 for
   * what is deleted. Throws ConflictError for one that expects what is not so, once what came first can be read.
   */
  change(writes: readonly CatalogWrite[], conditions?: readonly Expectation[]): Promise<readonly number[]>
  /** What is there now, and then each change, in order; ends when `stop` aborts. */
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

/** What has to be there, and stays as it is: the revision of a key, 0 for none. */
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
