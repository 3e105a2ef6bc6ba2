const instantText = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,12})?)?([Zz]|[+-]\d\d:\d\d)?)?$/

/**
 * Unix milliseconds, with a fraction, of an RFC 3339 time, of a date, or of a time without a zone, which is UTC;
 * undefined where the text is none of them.
 */
export function parseInstant(text: string): number | undefined {
  if (text.length > 48) return undefined
  const match = instantText.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as number[]
  const days = new Date(Date.UTC(2000, month!, 0))
  days.setUTCFullYear(year!, month!, 0)
  if (month! < 1 || month! > 12 || day! < 1 || day! > days.getUTCDate()) return undefined
  if (hour! > 23 || minute! > 59 || second! > 60) return undefined
  const offset = offsetMs(match[8])
  if (offset === undefined) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year!, month! - 1, day!)
  date.setUTCHours(hour!, minute!, second!)
  return date.getTime() - offset + Number(match[7] ?? 0) * 1000
}

function offsetMs(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === "Z" || zone === "z") return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(4))
  if (hours > 23 || minutes > 59) return undefined
  return (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes) * 60_000
}
