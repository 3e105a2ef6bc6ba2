import type { Cursor } from "../../../core/cursor.ts"
import { InvalidCursorError } from "../../../core/errors.ts"
import { formatPosition, positionOf } from "../../parts/index/position.ts"

/** A position as a cursor: its eleven digits, so that cursors sort as text. */
export function formatCursor(position: number): Cursor {
  return formatPosition(position) as Cursor
}

/** The inverse; throws InvalidCursorError for a text that {@link formatCursor} cannot have made. */
export function parseCursor(cursor: string): number {
  const position = positionOf(cursor)
  if (position === undefined) throw new InvalidCursorError(cursor)
  return position
}

/**
 * The place between records right before `position`. Records begin at multiples of 8, the first one at
 * {@link firstPosition}, so that there is always one, and it is no event's cursor.
 */
export function cursorBefore(position: number): Cursor {
  return formatCursor(position - 1)
}

/** So many places are left out where nobody can say how many were used behind the last one that is known. */
export const leftOutPlaces = 2 ** 40

/** How many of the places were not left out. */
export function usedPlaces({ from, to }: { readonly from: number; readonly to: number }): number {
  return (to - from) % leftOutPlaces
}

/** Where the log begins. */
export const firstPosition = 8
