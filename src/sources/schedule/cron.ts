/** A cron expression: the times of a calendar and clock that it names, in no time zone. */
export interface Cron {
  readonly seconds: readonly number[]
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  /** Sunday is 0. */
  readonly weekdays: ReadonlySet<number>
  /** Days of the month and of the week are both restricted: either will do. */
  readonly either: boolean
}

interface Field {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}

const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
const dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

const fields: readonly Field[] = [
  { name: "second", min: 0, max: 59 },
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of the month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12, names: monthNames },
  { name: "day of the week", min: 0, max: 7, names: dayNames },
]

/** A text that is longer is no cron expression. */
export const cronCharactersMax = 1_000
const dayMs = 86_400_000
/** From one 29 February that is a certain day of the week to the next there are forty years at most. */
const daysMax = 40 * 366 + 1
/** A 29 February is among the days that follow. */
const someLeapYear = Date.UTC(2000, 0, 1)

/** The expression; as text, what is wrong with it. */
export function parseCron(text: string): Cron | string {
  const parts = text.trim().split(/\s+/)
  if (text.length > cronCharactersMax || parts.length < 5 || parts.length > 6) {
    return 'must have five fields (minute, hour, day of the month, month, day of the week), as in "0 9 * * 1-5", or six with seconds first'
  }
  const all = parts.length === 5 ? ["0", ...parts] : parts
  const sets: ReadonlySet<number>[] = []
  for (const [i, part] of all.entries()) {
    const set = readField(fields[i]!, part)
    if (typeof set === "string") return set
    sets.push(set)
  }
  const [seconds, minutes, hours, days, months, weekdays] = sets.map((set) => [...set].sort((a, b) => a - b))
  const cron: Cron = {
    ...{ seconds: seconds!, minutes: minutes!, hours: hours! },
    ...{ days: new Set(days), months: new Set(months), weekdays: new Set(weekdays!.map((day) => day % 7)) },
    either: !all[3]!.startsWith("*") && !all[5]!.startsWith("*"),
  }
  return nextWall(cron, someLeapYear) === undefined ? "never comes: no month that it names has such a day" : cron
}

function readField(field: Field, text: string): ReadonlySet<number> | string {
  const set = new Set<number>()
  for (const part of text.split(",")) {
    const range = readRange(field, part)
    if (typeof range === "string") return range
    for (let value = range.from; value <= range.to; value += range.step) set.add(value)
  }
  return set
}

interface Range {
  readonly from: number
  readonly to: number
  readonly step: number
}

function readRange(field: Field, part: string): Range | string {
  const { name, min, max } = field
  const match = /^(?:(\*)|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:\/(\d{1,4}))?$/i.exec(part)
  if (match === null) return `has ${JSON.stringify(part)} as ${name}: write *, 5, 1-5, */15 or several with commas`
  const [, star, first, last, steps] = match
  const step = steps === undefined ? 1 : Number(steps)
  if (step === 0) return `has ${JSON.stringify(part)} as ${name}: a step is 1 at least`
  if (star !== undefined) return { from: min, to: name === "day of the week" ? 6 : max, step }
  const from = readValue(field, first!)
  const to = last === undefined ? (steps === undefined ? from : max) : readValue(field, last)
  if (from === undefined || to === undefined) return `has ${JSON.stringify(part)} as ${name}, which is ${wanted(field)}`
  if (from > to) return `has ${JSON.stringify(part)} as ${name}, which runs backwards`
  return { from, to, step }
}

function readValue({ min, max, names }: Field, text: string): number | undefined {
  const named = names?.indexOf(text.toLowerCase()) ?? -1
  if (named >= 0) return named + min
  const value = /^\d{1,2}$/.test(text) ? Number(text) : -1
  return value >= min && value <= max ? value : undefined
}

function wanted({ min, max, names }: Field): string {
  const named = names === undefined ? "" : `, or one of ${names.join(", ")}`
  return `${min} to ${max}${named}`
}

/**
 * The first time at or after `from` that the expression names. Times are as if they were UTC, in milliseconds, on whole seconds;
 * undefined where there is none.
 */
export function nextWall(cron: Cron, from: number): number | undefined {
  let day = Math.floor(from / dayMs) * dayMs
  const rest = Math.ceil((from - day) / 1_000)
  const today = isDay(cron, day) ? timeFrom(cron, rest) : undefined
  if (today !== undefined) return day + today * 1_000
  const last = day + daysMax * dayMs
  const first = timeFrom(cron, 0)!
  for (day = nextDay(cron, day); day <= last; day = nextDay(cron, day)) {
    if (isDay(cron, day)) return day + first * 1_000
  }
  return undefined
}

/** The day after, or, where its month is none, the first of the next month. */
function nextDay({ months }: Cron, day: number): number {
  const next = new Date(day + dayMs)
  if (months.has(next.getUTCMonth() + 1)) return next.getTime()
  return Date.UTC(next.getUTCFullYear(), next.getUTCMonth() + 1, 1)
}

function isDay({ days, months, weekdays, either }: Cron, day: number): boolean {
  const date = new Date(day)
  if (!months.has(date.getUTCMonth() + 1)) return false
  const [ofMonth, ofWeek] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())]
  return either ? ofMonth || ofWeek : ofMonth && ofWeek
}

/** The first second of a day, at or after `at`. */
function timeFrom({ hours, minutes, seconds }: Cron, at: number): number | undefined {
  const [hour, minute, second] = [Math.floor(at / 3_600), Math.floor((at % 3_600) / 60), at % 60]
  for (const h of hours) {
    if (h < hour) continue
    for (const m of minutes) {
      if (h === hour && m < minute) continue
      const s = h === hour && m === minute ? seconds.find((each) => each >= second) : seconds[0]
      if (s !== undefined) return h * 3_600 + m * 60 + s
    }
  }
  return undefined
}
