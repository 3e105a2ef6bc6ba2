/** A time during which a time zone's clocks are not changed. Instants are Unix milliseconds, offsets milliseconds ahead of UTC. */
export interface Stretch {
  readonly from: number
  readonly to: number
  readonly offset: number
  /** The offset before `from`, and the one from `to` on. */
  readonly before: number
  readonly after: number
  /** Up to here, `to` at most, all of this is known. */
  readonly knownTo: number
}

/** What clocks of a place show. */
export interface Zone {
  /** The stretch that an instant is in. */
  stretchAt(instant: number): Stretch
  offsetAt(instant: number): number
}

/** Clocks are looked at in steps of this: they are not changed and changed back within. */
const stepMs = 7 * 86_400_000
const yearsMax = 500
const zonesMax = 100
const zones = new Map<string, Zone>()

/** The time zone of this name of the IANA database, or an offset such as `+02:00`; undefined where there is none. */
export function zoneOf(name: string): Zone | undefined {
  const known = zones.get(name)
  if (known !== undefined) return known
  const format = formatOf(name)
  if (format === undefined) return undefined
  if (zones.size >= zonesMax) zones.clear()
  const zone = new IntlZone(format)
  zones.set(name, zone)
  return zone
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  const numeric = "numeric"
  const parts = {
    year: numeric,
    month: numeric,
    day: numeric,
    hour: numeric,
    minute: numeric,
    second: numeric,
  } as const
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", ...parts })
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

class IntlZone implements Zone {
  readonly #format: Intl.DateTimeFormat
  /** When clocks are changed, by year. */
  readonly #changes = new Map<number, readonly number[]>()
  #last: Stretch | undefined

  constructor(format: Intl.DateTimeFormat) {
    this.#format = format
  }

  offsetAt(instant: number): number {
    const second = Math.floor(instant / 1_000) * 1_000
    // "1/31/2026, 13:05:09"
    const shown = this.#format.format(second).match(/\d+/g)!.map(Number)
    const [month, day, year, hour, minute, at] = shown as [number, number, number, number, number, number]
    return Date.UTC(year, month - 1, day, hour, minute, at) - second
  }

  stretchAt(instant: number): Stretch {
    if (this.#last !== undefined && instant >= this.#last.from && instant < this.#last.knownTo) return this.#last
    const year = new Date(instant).getUTCFullYear()
    const changes = [year - 1, year, year + 1].flatMap((each) => this.#changesIn(each))
    const from = changes.findLast((change) => change <= instant) ?? Date.UTC(year - 1, 0, 1)
    const to = changes.find((change) => change > instant) ?? Date.UTC(year + 2, 0, 1)
    const [offset, before, after] = [this.offsetAt(instant), this.offsetAt(from - 1_000), this.offsetAt(to)]
    this.#last = { from, to, offset, before, after, knownTo: Math.min(to, Date.UTC(year + 1, 0, 1)) }
    return this.#last
  }

  #changesIn(year: number): readonly number[] {
    const known = this.#changes.get(year)
    if (known !== undefined) return known
    const changes: number[] = []
    // The second before: a year may begin with a change.
    let [at, end] = [Date.UTC(year, 0, 1) - 1_000, Date.UTC(year + 1, 0, 1) - 1_000]
    while (at < end) {
      const next = Math.min(at + stepMs, end)
      if (this.offsetAt(at) !== this.offsetAt(next)) changes.push(this.#changeIn(at, next))
      at = next
    }
    if (this.#changes.size >= yearsMax) this.#changes.clear()
    this.#changes.set(year, changes)
    return changes
  }

  /** The first second of another offset than that at `before`; the one at `after` is another. */
  #changeIn(before: number, after: number): number {
    const offset = this.offsetAt(before)
    let [low, high] = [before, after]
    while (high - low > 1_000) {
      const middle = Math.floor((low + high) / 2_000) * 1_000
      if (this.offsetAt(middle) === offset) low = middle
      else high = middle
    }
    return high
  }
}
