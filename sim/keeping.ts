import { parseDuration } from "../src/config/quantities.ts"
import type { Address } from "../src/core/address.ts"
import type { DeadLetter } from "../src/core/delivery.ts"
import type { Engine } from "../src/core/engine.ts"
import type { Event } from "../src/core/event.ts"
import type { StoredEvent } from "../src/core/log.ts"
import type { Filter, Topic } from "../src/core/resources.ts"
import { compileFilters } from "../src/filters/index.ts"
import { Needs } from "../src/retention/needed.ts"
import { overdueByRules, overdueOf } from "../src/retention/prune.ts"
import { retentionEveryMs } from "./hub.ts"
import type { Span } from "./model.ts"
import { modelOf } from "./models.ts"
import { type Acknowledged, type Deletion, InvariantError, type RunRecord } from "./record.ts"
import type { World } from "./world.ts"

/** What a round of retention goes by may have been changed meanwhile. */
const lagMs = 10_000

type Retention = {
  readonly ageMax?: string
  readonly eventsMax?: number
  readonly bytesMax?: number
  readonly dropUndelivered?: boolean
  readonly keepDeadLetters?: boolean
  readonly rules?: readonly Rule[]
}

interface Limits {
  readonly ageMax?: string
  readonly eventsMax?: number
  readonly bytesMax?: number
}

interface Rule extends Limits {
  readonly filters: readonly Filter[]
}

interface Asked {
  readonly at: number
  readonly event: Event
  readonly cursor?: string
}

/** What may have been dropped from topics, and what must have been: by retention, or with the topic. */
export class Keeping {
  readonly #world: World
  /** Events of each topic that somebody asked to store. */
  readonly #asked = new Map<string, Asked[]>()

  constructor(world: World) {
    this.#world = world
    const heard = new Set<string>()
    for (const { address, event, at, cursor } of world.record.acknowledged) {
      if (heard.has(cursor)) continue
      heard.add(cursor)
      this.#note(address, { at, cursor, event })
    }
    for (const { address, event, at } of world.record.unheard) this.#note(address, { at, event })
  }

  #note(address: Address, asked: Asked): void {
    const path = pathOf(address)
    const known = this.#asked.get(path)
    if (known) known.push(asked)
    else this.#asked.set(path, [asked])
  }

  /** Whether this event may be gone. */
  mayBeGone(event: Acknowledged): boolean {
    const { record } = this.#world
    if (deletionsOf(record, event.address).some(({ overAt }) => overAt >= event.at)) return true
    return (
      this.#spans(event.address).some(({ fields, until }) => {
        if (until + lagMs < event.at) return false
        const retention = fields?.retention as Retention | undefined
        return this.#isOver(event, retention ?? {}, until + lagMs, () => true)
      }) || this.mayGoByRule(event)
    )
  }

  /** Whether this event may be gone by a rule, though one before it is kept. */
  mayGoByRule(event: Acknowledged): boolean {
    return this.#spans(event.address).some(({ fields, until }) => {
      if (until + lagMs < event.at) return false
      const { rules = [] } = (fields?.retention ?? {}) as Retention
      return rules.some(({ filters, ...limits }) => {
        const passes = compileFilters(filters)
        return passes(event.event) && this.#isOver(event, limits, until + lagMs, passes)
      })
    })
  }

  #isOver(
    { at, cursor, address, event }: Acknowledged,
    limits: Limits,
    until: number,
    counts: (event: Event) => boolean,
  ): boolean {
    const { ageMax, eventsMax = Number.POSITIVE_INFINITY, bytesMax: keptBytes = Number.POSITIVE_INFINITY } = limits
    const now = Math.min(until, this.#world.clock.now())
    if (ageMax !== undefined && now - at >= (parseDuration(ageMax) as number)) return true
    const newer = (this.#asked.get(pathOf(address)) ?? []).filter(
      (each) => this.#isNewer(each, cursor, at) && counts(each.event),
    )
    if (newer.length >= eventsMax) return true
    return newer.reduce((sum, { event }) => sum + bytesMax(event), bytesMax(event)) > keptBytes
  }

  /** What was not acknowledged may be anywhere after it was asked for, or due: what falls due while the clock leaps is stored behind that. */
  #isNewer(each: { readonly at: number; readonly cursor?: string }, cursor: string, at: number): boolean {
    const { record } = this.#world
    return each.cursor === undefined ? record.smooth(each.at) >= record.smooth(at) - lagMs : each.cursor > cursor
  }

  /** Whether this event must be gone: its topic went after it was acknowledged. */
  mustBeGone({ address, acknowledgedAt }: Acknowledged, by: number): boolean {
    const deletions = deletionsOf(this.#world.record, address)
    return deletions.some(({ sure, askedAt, overAt }) => sure && askedAt > acknowledgedAt && overAt < by)
  }

  /** 3: nothing is dropped that is owed, unless its topic says so, or it was given up and put back since. */
  checkOwed(letters: ReadonlyMap<string, DeadLetter>, events: readonly StoredEvent[]): void {
    const { record } = this.#world
    const kept = new Set(events.map(({ cursor }) => cursor))
    for (const { id, cursor, reason, address, replay, ...names } of letters.values()) {
      const known = record.delivery(id)
      const isOfDropped = reason === "permanent" && known.refused === 0 && !kept.has(cursor)
      if (!isOfDropped || replay !== undefined || known.redrives > 0 || record.damage.covers(cursor)) continue
      if (deletionsOf(record, address).length > 0 || this.#mayDropOwed(address)) continue
      // What was there before its trigger is read as it goes.
      const event = record.acknowledged.find((each) => each.cursor === cursor)
      const triggers = record.triggersFor(names)
      if (event === undefined || triggers.some(({ versions }) => event.at < (versions[0]?.askedAt ?? 0) + lagMs))
        continue
      throw new InvariantError(3, `retention dropped the event of ${id}, which was owed`)
    }
  }

  #mayDropOwed(address: Address): boolean {
    return this.#spans(address).some(({ fields }) => (fields?.retention as Retention | undefined)?.dropUndelivered)
  }

  /** 1: topics keep what they are told to, and what is owed, and no more. */
  async check(events: readonly StoredEvent[], engine: Engine): Promise<void> {
    const { record, clock } = this.#world
    const needs = new Needs(engine, clock)
    for (const model of record.models.values()) {
      const [fields, ...others] = model.possible
      if (model.name !== "topic" || others.length > 0) continue
      if (fields === undefined) continue
      const kept = events.filter(({ address }) => pathOf(address) === `${model.tenant}/${model.id}`)
      const { ageMax, eventsMax, rules = [] } = fields.retention as Retention
      const topic = (await engine.catalog.get<Topic>(model.path))?.value
      if (topic !== undefined && (await overdueOf(engine, topic, topic.retention, needs)).held) continue
      const oldest = clock.now() - ((parseDuration(ageMax ?? "") as number) ?? 0) - 4 * retentionEveryMs
      if (eventsMax !== undefined && kept.length > eventsMax) {
        throw new InvariantError(1, `${model.path} keeps ${kept.length} events, and is to keep ${eventsMax}`)
      }
      if (ageMax !== undefined && kept.some(({ storedAt }) => storedAt < oldest)) {
        throw new InvariantError(1, `${model.path} keeps an event that is older than ${ageMax}`)
      }
      if (topic !== undefined && rules.length > 0) await this.#checkRules({ engine, topic, needs }, rules, kept)
    }
  }

  async #checkRules({ engine, topic, needs }: Ruled, rules: readonly Rule[], kept: readonly StoredEvent[]) {
    const { clock } = this.#world
    const overdue = await overdueByRules({ log: engine.log, clock }, topic, needs, {
      goes: { events: 0, bytes: 0 },
    })
    if (overdue.held) return
    for (const { filters, ageMax, eventsMax } of rules) {
      const passes = compileFilters(filters)
      const matching = kept.filter(({ event }) => passes(event))
      const oldest = clock.now() - ((parseDuration(ageMax ?? "") as number) ?? 0) - 4 * retentionEveryMs
      const isOlder = ageMax !== undefined && matching.some(({ storedAt }) => storedAt < oldest)
      if (!isOlder && matching.length <= (eventsMax ?? Number.POSITIVE_INFINITY)) continue
      throw new InvariantError(1, `${topic.tenant}/${topic.id} keeps what its rule has go: ${JSON.stringify(filters)}`)
    }
  }

  /** The shortest time within which a repeated event was one, while any of these were stored. */
  dedupeWindowMs(address: Address): number {
    const windows = this.#spans(address).map(
      ({ fields }) => fields && (parseDuration(String(fields.dedupeWindow)) as number),
    )
    return Math.min(...windows.filter((each) => each !== undefined))
  }

  #spans({ tenant, topic }: Address): readonly Span[] {
    return modelOf(this.#world, "topic", tenant, topic).spans
  }
}

interface Ruled {
  readonly engine: Engine
  readonly topic: Topic
  readonly needs: Needs
}

function pathOf({ tenant, topic }: Address): string {
  return `${tenant}/${topic}`
}

function deletionsOf({ deletions }: RunRecord, { tenant, topic }: Address): readonly Deletion[] {
  return deletions.filter((each) => each.tenant === tenant && each.topic === topic)
}

/** What an event takes in the log at most. */
function bytesMax({ attributesJson, data }: Event): number {
  return attributesJson.length + (data?.length ?? 0) + 400
}
