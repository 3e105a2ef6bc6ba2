/** A wrong text, and what would be right; said to the person who wrote it. */
export interface Unreadable {
  readonly message: string
}

const durationUnits: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
]

const sizeUnits: readonly (readonly [string, number])[] = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
  ["TB", 1e12],
  ["GB", 1e9],
  ["MB", 1e6],
  ["kB", 1e3],
  ["B", 1],
]

const quantity = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/

/** Milliseconds of `500ms`, `10s`, `5m`, `24h`, `7d`; a bare whole number is milliseconds. */
export function parseDuration(text: string): number | Unreadable {
  const wrong = {
    message: `is not a duration: write ${quote("500ms")}, ${quote("10s")}, ${quote("5m")}, ${quote("24h")} or ${quote("7d")}`,
  }
  return parseQuantity(text, durationUnits, "ms", wrong)
}

/** Bytes of `512KiB`, `16MiB`, `1GB`; a bare whole number is bytes. Case does not matter. */
export function parseBytes(text: string): number | Unreadable {
  const wrong = {
    message: `is not a size: write ${quote("512KiB")}, ${quote("16MiB")}, ${quote("1GB")} or a number of bytes`,
  }
  return parseQuantity(text, sizeUnits, "B", wrong)
}

/** The shortest exact text: `24h`, `1500ms`, `0ms`. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, durationUnits)
}

/** The shortest exact text in powers of 1024: `512KiB`, `1000B`. */
export function formatBytes(bytes: number): string {
  return formatQuantity(
    bytes,
    sizeUnits.filter(([unit]) => unit === "B" || unit.endsWith("iB")),
  )
}

function parseQuantity(
  text: string,
  units: readonly (readonly [string, number])[],
  bare: string,
  wrong: Unreadable,
): number | Unreadable {
  const match = quantity.exec(text.trim())
  if (match === null) return wrong
  const name = (match[2] === "" ? bare : match[2]!).toLowerCase()
  const unit = units.find(([each]) => each.toLowerCase() === name)
  if (unit === undefined) return wrong
  const value = Number(match[1]) * unit[1]
  return Number.isSafeInteger(value) ? value : wrong
}

function formatQuantity(value: number, units: readonly (readonly [string, number])[]): string {
  const [name, size] = units.find(([, each]) => value >= each && value % each === 0) ?? units[units.length - 1]!
  return `${value / size}${name}`
}

function quote(text: string): string {
  return JSON.stringify(text)
}
