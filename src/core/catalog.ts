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
  /** What is there now, and then each change, in order; ends when `stop` aborts. */
  watch<T>(prefix: string, stop: AbortSignal): AsyncIterable<Change<T>>
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
