import { DamagedError } from "../../../core/errors.ts"

const width = 11
const pattern = /^[0-9a-z]{11}$/

/** A position in a log as eleven base-36 digits, so that positions sort as text. */
export function formatPosition(position: number): string {
  return position.toString(36).padStart(width, "0")
}

/** The position of a text; undefined for one that {@link formatPosition} cannot have made. */
export function positionOf(text: string): number | undefined {
  const position = pattern.test(text) ? Number.parseInt(text, 36) : Number.NaN
  return Number.isSafeInteger(position) ? position : undefined
}

/** As {@link positionOf}, of a text that was stored; throws DamagedError where it is none. */
export function parsePosition(text: string): number {
  const position = positionOf(text)
  if (position === undefined) throw new DamagedError(`the position ${text} in an index`)
  return position
}
