import type { Cursor } from "../../../core/cursor.ts"
import { InvalidCursorError } from "../../../core/errors.ts"

/** A place in the log: after the message with this sequence in a partition's stream. */
export interface Place {
  readonly partition: number
  readonly sequence: number
}

/**
 * What the first partition's cursors begin with: `g0`. Those of the embedded engine begin with `0`; as the two never meet,
 * neither do the ids of deliveries before and after a move from one engine to the other.
 */
const firstPartition = 16 * 36

const pattern = /^[0-9a-z]{11}$/

/** Two base-36 digits of the partition and nine of the sequence, so that cursors of a partition sort as text. */
export function formatCursor(partition: number, sequence: number): Cursor {
  return ((firstPartition + partition).toString(36) + sequence.toString(36).padStart(9, "0")) as Cursor
}

/** The inverse. Throws InvalidCursorError, also for a partition that is not there. */
export function parseCursor(cursor: string, partitions: number): Place {
  if (!pattern.test(cursor)) throw new InvalidCursorError(cursor)
  const partition = Number.parseInt(cursor.slice(0, 2), 36) - firstPartition
  if (partition < 0 || partition >= partitions) throw new InvalidCursorError(cursor)
  return { partition, sequence: Number.parseInt(cursor.slice(2), 36) }
}
