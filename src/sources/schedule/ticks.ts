import type { Timing } from "../../core/schedules.ts"
import { type Cron, nextWall, parseCron } from "./cron.ts"
import { type Stretch, type Zone, zoneOf } from "./zone.ts"

/** The instants at which a schedule runs, in Unix milliseconds. */
export interface Ticks {
  /** The first one after an instant; undefined where there is none. */
  after(instant: number): number | undefined
  /** The last one that is not after `instant`, but after `beyond`; undefined where there is none. */
  upTo(instant: number, beyond: number): number | undefined
}

/** No clock of the world is further from UTC than this, and no change of clocks larger. */
const reachMs = 26 * 3_600_000
/** An expression that comes at all comes within this. */
const yearsMs = 41 * 366 * 86_400_000
/** Later times have no date of four digits of year. */
const latest = Date.UTC(9999, 11, 31)

const none: Ticks = { after: () => undefined, upTo: () => undefined }

/** The instants of a timing; none where something is wrong with it. */
export function ticksOf(timing: Timing): Ticks {
  const ticks = timing.intervalMs === undefined ? cronTicks(timing) : new IntervalTicks(timing)
  return typeof ticks === "string" ? none : new Bounded(ticks, timing)
}

/** What is wrong with a timing that was saved elsewhere: not every process knows the same time zones. */
export function timingFault(timing: Timing): string | undefined {
  const ticks = timing.intervalMs === undefined ? cronTicks(timing) : undefined
  return typeof ticks === "string" ? ticks : undefined
}

function cronTicks({ cron: text = "", timeZone, ...rules }: Timing): Ticks | string {
  const [cron, zone] = [parseCron(text), zoneOf(timeZone)]
  if (typeof cron === "string") return `cron ${cron}`
  return zone === undefined ? `timeZone: this process knows no ${timeZone}` : new CronTicks(cron, zone, rules)
}

class Bounded implements Ticks {
  readonly #ticks: Ticks
  readonly #beyond: number
  readonly #end: number

  constructor(ticks: Ticks, { start = Number.NEGATIVE_INFINITY, end = latest }: Timing) {
    this.#ticks = ticks
    this.#beyond = start - 1
    this.#end = Math.min(end, latest)
  }

  after(instant: number): number | undefined {
    const tick = this.#ticks.after(Math.max(instant, this.#beyond))
    return tick !== undefined && tick <= this.#end ? tick : undefined
  }

  upTo(instant: number, beyond: number): number | undefined {
    const [to, from] = [Math.min(instant, this.#end), Math.max(beyond, this.#beyond)]
    return from < to ? this.#ticks.upTo(to, from) : undefined
  }
}

class IntervalTicks implements Ticks {
  readonly #anchor: number
  readonly #intervalMs: number

  constructor({ anchor, intervalMs = 1 }: Timing) {
    this.#anchor = anchor
    this.#intervalMs = intervalMs
  }

  after(instant: number): number {
    return this.#at(Math.max(0, Math.floor((instant - this.#anchor) / this.#intervalMs) + 1))
  }

  upTo(instant: number, beyond: number): number | undefined {
    const tick = this.#at(Math.floor((instant - this.#anchor) / this.#intervalMs))
    return tick >= this.#anchor && tick > beyond ? tick : undefined
  }

  #at(count: number): number {
    return this.#anchor + count * this.#intervalMs
  }
}

class CronTicks implements Ticks {
  readonly #cron: Cron
  readonly #zone: Zone
  readonly #rules: Pick<Timing, "twice" | "absent">

  constructor(cron: Cron, zone: Zone, rules: Pick<Timing, "twice" | "absent">) {
    this.#cron = cron
    this.#zone = zone
    this.#rules = rules
  }

  after(instant: number): number | undefined {
    let at = Math.floor(instant / 1_000) * 1_000 + 1_000
    const end = at + yearsMs
    while (at < end) {
      const wall = nextWall(this.#cron, at - reachMs)
      if (wall === undefined) return undefined
      at = Math.max(at, wall - reachMs)
      const stretch = this.#zone.stretchAt(at)
      const [own, moved] = [this.#own(stretch, at), this.#moved(stretch, at)]
      if (own !== undefined || moved !== undefined) return Math.min(own ?? moved!, moved ?? own!)
      at = stretch.knownTo
    }
    return undefined
  }

  /** What the clocks show in this stretch, but for what they show in another one as well. */
  #own({ from, to, offset, before, after, knownTo }: Stretch, at: number): number | undefined {
    const { twice } = this.#rules
    const shownBefore = Math.max(0, before - offset)
    const shownAgain = Math.max(0, offset - after)
    const begin = twice === "first" ? Math.max(at, from + shownBefore) : at
    const end = twice === "last" ? Math.min(knownTo, to - shownAgain) : knownTo
    const wall = nextWall(this.#cron, begin + offset)
    return wall !== undefined && wall - offset < end ? wall - offset : undefined
  }

  /** What the clocks would have shown at the beginning of this stretch, had they not been set forward. */
  #moved({ from, offset, before }: Stretch, at: number): number | undefined {
    const end = from + offset - before
    if (this.#rules.absent !== "moved" || at >= end) return undefined
    const wall = nextWall(this.#cron, Math.max(at, from) + before)
    return wall !== undefined && wall - before < end ? wall - before : undefined
  }

  upTo(instant: number, beyond: number): number | undefined {
    let found = this.#someUpTo(instant, beyond)
    if (found === undefined) return undefined
    // No tick is after `none`, and not after the instant.
    let none = instant
    while (none - found >= 1_000) {
      const middle = Math.floor((found + none) / 2_000) * 1_000
      const next = this.after(Math.max(found, middle))
      if (next !== undefined && next <= instant) found = next
      else none = middle
    }
    return found
  }

  /** Looks back further and further. */
  #someUpTo(instant: number, beyond: number): number | undefined {
    let [from, span] = [instant, 1_000]
    while (from > beyond) {
      from = Math.max(beyond, instant - span)
      const next = this.after(from)
      if (next !== undefined && next <= instant) return next
      span *= 2
    }
    return undefined
  }
}
