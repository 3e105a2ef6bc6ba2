import { formatBytes, formatDuration, parseBytes, parseDuration, type Unreadable } from "./quantities.ts"
import type { Setting } from "./schema.ts"

/** A setting's value, read and within its bounds. */
export interface Readable {
  readonly value: unknown
}

/** Reads what a flag or a variable (always text) or a file (text, number, boolean, list) says for a setting. */
export function readValue(setting: Setting, raw: unknown): Readable | Unreadable {
  switch (setting.unit) {
    case "bytes":
      return number(setting, raw, parseBytes, formatBytes)
    case "ms":
      return number(setting, raw, parseDuration, formatDuration)
    case "count":
      return number(setting, raw, parseCount, String)
    case "boolean":
      return boolean(raw)
    case "choice":
      return choice(setting.choices ?? [], raw)
    case "list":
      return list(raw)
    case "text":
      if (typeof raw !== "string" || (raw === "" && setting.byDefault !== "")) return { message: "needs a text" }
      return { value: raw }
  }
}

/** A value as a person would write it. */
export function formatValue(setting: Setting, value: unknown): string {
  if (setting.unit === "bytes") return formatBytes(value as number)
  if (setting.unit === "ms") return formatDuration(value as number)
  if (setting.unit === "list") return (value as readonly string[]).join(",")
  return String(value)
}

function number(
  setting: Setting,
  raw: unknown,
  parse: (text: string) => number | Unreadable,
  format: (value: number) => string,
): Readable | Unreadable {
  const value = typeof raw === "string" || typeof raw === "number" ? parse(String(raw)) : parse("")
  if (typeof value !== "number") return value
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = setting
  if (value >= minimum && value <= maximum) return { value }
  return { message: `has to be from ${format(minimum)} to ${format(maximum)}` }
}

function parseCount(text: string): number | Unreadable {
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : { message: "is not a whole number" }
}

function boolean(raw: unknown): Readable | Unreadable {
  if (raw === true || raw === "true" || raw === "1") return { value: true }
  if (raw === false || raw === "false" || raw === "0") return { value: false }
  return { message: "is neither true nor false" }
}

function choice(choices: readonly string[], raw: unknown): Readable | Unreadable {
  if (typeof raw === "string" && choices.includes(raw)) return { value: raw }
  return { message: `has to be ${choices.length === 1 ? choices[0] : `one of ${choices.join(", ")}`}` }
}

function list(raw: unknown): Readable | Unreadable {
  if (typeof raw === "string")
    return {
      value: raw
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    }
  if (Array.isArray(raw) && raw.every((item) => typeof item === "string")) return { value: raw }
  return { message: "has to be a list of texts (in a flag or variable: with commas)" }
}
