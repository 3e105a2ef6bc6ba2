import { InvalidArgumentError } from "commander"
import { parseDuration } from "../config/quantities.ts"

/** A place in a topic, as a flag names it. */
export type Place =
  | { readonly kind: "oldest" }
  /** The present end. */
  | { readonly kind: "newest" }
  | { readonly kind: "time"; readonly time: string }
  | { readonly kind: "cursor"; readonly cursor: string }

/** How places are written, for the help of every flag that takes one. */
export const placeHelp = "oldest, newest, how long ago (10m, 24h), a time (2026-01-31T12:00:00Z) or a cursor"

const cursorPattern = /^[0-9a-z]{11}$/
const timePattern = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$/

/** Reads a place; `now` is in Unix milliseconds. Undefined where the text is none. */
export function readPlace(text: string, now: number): Place | undefined {
  if (text === "oldest") return { kind: "oldest" }
  if (text === "newest" || text === "now") return { kind: "newest" }
  if (cursorPattern.test(text)) return { kind: "cursor", cursor: text }
  if (timePattern.test(text)) {
    const time = Date.parse(text)
    return Number.isNaN(time) ? undefined : { kind: "time", time: new Date(time).toISOString() }
  }
  const ago = /^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text) ? parseDuration(text) : undefined
  return typeof ago === "number" && ago <= now ? { kind: "time", time: new Date(now - ago).toISOString() } : undefined
}

/** For commander: a place; says what was probably meant where it is none. */
export function place(text: string): Place {
  const read = readPlace(text, Date.now())
  if (read !== undefined) return read
  throw new InvalidArgumentError(`${hintOf(text)} A place is ${placeHelp}.`)
}

function hintOf(text: string): string {
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return `It lacks a time of day: ${text}T00:00:00Z.`
  if (/^\d{4}-\d\d-\d\d[Tt ][\d:.]+$/.test(text)) return `It lacks a time zone: ${text.replace(" ", "T")}Z.`
  const ago = /^(\d+)\s*(ms|s|m|h|d|w)?[a-z]*(\s+ago)?$/i.exec(text)
  if (ago?.[2] === "w") return `Weeks are written in days: ${7 * Number(ago[1])}d.`
  if (ago?.[2] !== undefined) return `How long ago is written ${ago[1]}${ago[2].toLowerCase()}.`
  if (/^[0-9A-Za-z]{8,}$/.test(text)) return "A cursor has eleven of 0-9 and a-z."
  return "It is no place."
}

/** As reading takes it: `from=`, `until=`. */
export function placeText(place: Place | undefined): string | undefined {
  if (place === undefined || place.kind === "oldest" || place.kind === "newest") return place?.kind
  return place.kind === "time" ? place.time : place.cursor
}

/** What the present end is called where something is to begin. */
type End = "now" | "newest"

/** As the start of a trigger, or of what calls the present end otherwise. */
export function startOf(
  place: Place | undefined,
  end: End = "now",
): "oldest" | End | { time: string } | { cursor: string } | undefined {
  if (place?.kind === "newest") return end
  if (place?.kind === "oldest") return "oldest"
  if (place?.kind === "time") return { time: place.time }
  return place && { cursor: place.cursor }
}

/** A file says where something begins as the flag does, too: `start: 10m`. */
export function withStart(body: Readonly<Record<string, unknown>>, end?: End): Readonly<Record<string, unknown>> {
  const place = typeof body.start === "string" ? readPlace(body.start, Date.now()) : undefined
  return place === undefined ? body : { ...body, start: startOf(place, end) }
}
