import { parseDuration as parseText } from "../config/quantities.ts"
import type { Faults } from "./faults.ts"

export { formatDuration } from "../config/quantities.ts"

/** What {@link parseDuration} takes, in words for people. */
export const durationForm = 'a duration such as "500ms", "10s", "5m", "24h" or "7d", or a whole number of milliseconds'

/** Milliseconds out of `"10s"` or a whole number; undefined for anything else. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const ms = typeof value === "string" ? parseText(value) : undefined
  return typeof ms === "number" ? ms : undefined
}

/** A duration in milliseconds; undefined where it is absent or a fault, which is noted. */
export function readDuration(value: unknown, field: string, faults: Faults): number | undefined {
  if (value === undefined || !faults.clean(field)) return undefined
  const ms = parseDuration(value)
  if (ms === undefined) faults.add(field, `must be ${durationForm}`)
  return ms
}
