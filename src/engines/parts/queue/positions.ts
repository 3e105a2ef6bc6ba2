import type { Cursor } from "../../../core/cursor.ts"
import type { Position } from "../../../core/positions.ts"
import type { Store, Write } from "../store.ts"

/** How far each reader has come. Knows those that are being written, so that the next call is held against the newest. */
export class Positions {
  readonly #store: Store
  readonly #writing = new Map<string, { cursor: Cursor | undefined; calls: number; last: Promise<void> }>()

  constructor(store: Store) {
    this.#store = store
  }

  /** What the store holds. */
  saved(reader: string): Cursor | undefined {
    const value = this.#store.get("positions", reader)
    return value === undefined ? undefined : (Buffer.from(value).toString("latin1") as Cursor)
  }

  /** Whether `position` is beyond all that was given before. Cursors of this engine have one width, so they compare as text. */
  isBeyond({ reader, cursor }: Position): boolean {
    const writing = this.#writing.get(reader)
    const last = writing === undefined ? this.saved(reader) : writing.cursor
    return last === undefined || cursor > last
  }

  /** What saves a position, or forgets it. */
  write(reader: string, cursor: Cursor | undefined): Write {
    if (cursor === undefined) return { table: "positions", key: reader, value: undefined }
    return { table: "positions", key: reader, value: Buffer.from(cursor, "latin1") }
  }

  /** The write of this reader's position has been asked for; `written` is its end. */
  begin(reader: string, cursor: Cursor | undefined, written: Promise<void>): void {
    const writing = this.#writing.get(reader) ?? { cursor, calls: 0, last: written }
    writing.cursor = cursor
    writing.calls++
    writing.last = written
    this.#writing.set(reader, writing)
    const end = () => {
      if (--writing.calls === 0) this.#writing.delete(reader)
    }
    written.then(end, end)
  }

  /** Resolves when what is being written for this reader is; rejects as it does. */
  written(reader: string): Promise<void> {
    return this.#writing.get(reader)?.last ?? Promise.resolve()
  }
}
