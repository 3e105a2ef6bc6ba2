/** A longer rest that a receiver asks for counts as this. */
export const retryAfterMaxMs = 24 * 60 * 60 * 1000

/**
 * The rest in milliseconds that a Retry-After header asks for at `now` (Unix milliseconds): whole seconds, or a date in one of
 * the three forms of RFC 9110, section 5.6.7. 0 where it asks for none, is of the past, or is anything else.
 */
export function parseRetryAfter(value: string | undefined, now: number): number {
  if (value === undefined) return 0
  const text = value.replace(/^[\t ]+|[\t ]+$/g, "")
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, retryAfterMaxMs)
  const at = parseHttpDate(text, now)
  return at === undefined ? 0 : Math.min(Math.max(at - now, 0), retryAfterMaxMs)
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
const month = `(?<month>${months.join("|")})`
const time = String.raw`(?<hours>\d\d):(?<minutes>\d\d):(?<seconds>\d\d)`
const dateForms = [
  // IMF-fixdate, RFC 850, asctime.
  new RegExp(String.raw`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) ${month} (?<year>\d{4}) ${time} GMT$`),
  new RegExp(String.raw`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-${month}-(?<year>\d\d) ${time} GMT$`),
  new RegExp(String.raw`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${month} (?<day>\d\d| \d) ${time} (?<year>\d{4})$`),
]

/** Unix milliseconds; undefined for what is no date. */
function parseHttpDate(text: string, now: number): number | undefined {
  for (const form of dateForms) {
    const parts = form.exec(text)?.groups
    if (parts !== undefined) return dateOf(parts, now)
  }
  return undefined
}

function dateOf(parts: Readonly<Record<string, string>>, now: number): number | undefined {
  const [day, hours, minutes, seconds] = [parts.day, parts.hours, parts.minutes, parts.seconds].map(Number)
  if (hours! > 23 || minutes! > 59 || seconds! > 60) return undefined
  const year = parts.year!.length === 4 ? Number(parts.year) : nearYear(Number(parts.year), now)
  const at = new Date(0)
  at.setUTCFullYear(year, months.indexOf(parts.month!), day)
  // A day that its month does not have would be one of the next.
  if (at.getUTCDate() !== day) return undefined
  // A leap second has no time of its own.
  return at.getTime() + ((hours! * 60 + minutes!) * 60 + Math.min(seconds!, 59)) * 1000
}

/** A year of two digits that seems more than 50 years ahead is the last one that ends so. */
function nearYear(digits: number, now: number): number {
  const thisYear = new Date(now).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + digits
  if (year > thisYear + 50) return year - 100
  return year <= thisYear - 50 ? year + 100 : year
}
