/**
 * The tables of the small mutable state beside the log. What `index` holds follows from the events; every change of the
 * others is a record of a journal before it is here. So all of them can be made again.
 */
export type Table = "catalog" | "deliveries" | "parked" | "dead" | "positions" | "index" | "meta"

export const tables: readonly Table[] = ["catalog", "deliveries", "parked", "dead", "positions", "index", "meta"]

/** Whether changes of this table are in the journal. */
export function isJournaled(table: Table): boolean {
  return table !== "index"
}

export type Write =
  | { readonly table: Table; readonly key: string; readonly value: Uint8Array }
  | { readonly table: Table; readonly key: string; readonly value: undefined }

export interface Range {
  /** Inclusive; default: the first. */
  readonly start?: string
  /** Exclusive; default: past the last. */
  readonly end?: string
  readonly reverse?: boolean
  readonly limit?: number
}

export interface Entry {
  readonly key: string
  readonly value: Uint8Array
}

/**
 * Ordered tables from ASCII keys to bytes; keys compare by their bytes. An interface because the simulator has one that
 * loses power.
 */
export interface Store {
  /** Sees every write that has resolved. The bytes are the caller's to keep. */
  get(table: Table, key: string): Uint8Array | undefined
  range(table: Table, range?: Range): Iterable<Entry>
  /**
   * All or none; applied in the order of calls, and resolved in that order. Resolved means seen by every reader; after a
   * crash, a prefix of the calls is there, at least those that `flushed` covered. An undefined value deletes.
   */
  write(writes: readonly Write[]): Promise<void>
  /** Resolves when everything that was written before the call is on disk. */
  flushed(): Promise<void>
  close(): Promise<void>
}
