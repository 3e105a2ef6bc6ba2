import { isReservedTopic, parseTopic } from "../core/address.ts"
import { asideKey } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import type { EventLog } from "../core/log.ts"
import type { Position } from "../core/positions.ts"
import type { Trigger } from "../core/resources.ts"
import {
  type AsideRecord,
  mainReaderOf,
  pathOf,
  placeOfTenant,
  type RoutedAs,
  type RoutingRecord,
  readerOf,
} from "../core/routing.ts"
import type { Subscription, SubscriptionPosition } from "../core/subscriptions.ts"
import { markOf } from "../route/record.ts"
import type { CursorMap } from "./cursor-map.ts"

/** What reads a topic from a place on. */
type Reads = Pick<Trigger, "tenant" | "topic" | "from">

/** Where routing stands in the source, told in places of the target. */
export class Routing {
  readonly #source: EventLog
  readonly #target: EventLog
  readonly #map: CursorMap
  readonly #engine: Pick<Engine, "catalog" | "log" | "queue">

  constructor(source: Pick<Engine, "catalog" | "log" | "queue">, target: EventLog, map: CursorMap) {
    this.#source = source.log
    this.#engine = source
    this.#target = target
    this.#map = map
  }

  /** What reads a topic, with its `from` translated; one that nothing can be read from stays as it is. */
  reader<R extends Reads>(reads: R): R {
    const place = this.#placeOf(reads)
    if (place === undefined) return reads
    const from = this.#map.partitionOf(reads.from) === place.source ? this.at(reads.from, place) : reads.from
    return { ...reads, topic: this.#topic(reads.topic), from }
  }

  /** Where a subscription stands. */
  position(position: SubscriptionPosition, subscription: Subscription): SubscriptionPosition {
    const place = this.#placeOf(subscription)
    if (place === undefined || this.#map.partitionOf(position.cursor) !== place.source) return position
    return { ...position, cursor: this.at(position.cursor, place) }
  }

  /** A key of the hub's own topics is a cursor. */
  #topic(text: string): string {
    const parsed = parseTopic(text)
    if (typeof parsed === "string" || !isReservedTopic(parsed.topic) || parsed.key === undefined) return text
    const key = this.#map.exact(parsed.key as Cursor)
    return key === undefined ? text : `${parsed.topic}:${key}`
  }

  /**
   * What the router keeps of a trigger. `attachedAfter` becomes how far the trigger itself has been routed, the main reader's
   * place in it: main readers of several partitions may become one, which is nowhere further than the last of them.
   * A record of an earlier trigger of this id stays one, so that it is cleared away.
   */
  async record(record: RoutingRecord, trigger: Trigger | undefined): Promise<RoutingRecord> {
    const place = trigger && this.#placeOf(trigger)
    if (trigger === undefined || place === undefined) return { of: record.of }
    const partition = place.target === 0 ? {} : { partition: place.target }
    if (record.of !== markOf(trigger)) return { of: record.of, ...partition }
    const of = markOf(this.reader(trigger))
    const after = await this.#attachedAfter(record, trigger, place.source)
    if (after === undefined || after.isAside) return { of, ...partition }
    return { of, ...partition, attachedAfter: this.at(after.cursor, place) }
  }

  /** How far a trigger was routed that is attached; undefined: it is not. */
  async #attachedAfter({ attachedAfter }: RoutingRecord, { tenant }: Trigger, partition: number) {
    if (attachedAfter === undefined) return undefined
    const { cursor, isAside } = await placeOfTenant({ engine: this.#engine, partition, tenant })
    const isBeyond = cursor !== undefined && this.#source.compare(cursor, attachedAfter) > 0
    return { cursor: isBeyond ? cursor : attachedAfter, isAside }
  }

  /**
   * How a trigger was when it judged which events. All of it is told in places of one partition, that of the last version's
   * topic; versions from before that which were of another one's topics are left out.
   */
  history(kept: RoutedAs, tenant: string, trigger: Trigger | undefined): RoutedAs {
    const placed = kept.versions.map((version) => ({ version, place: this.#placeOf({ tenant, topic: version.topic }) }))
    const target = placed.at(-1)?.place?.target ?? 0
    const source = kept.partition ?? 0
    const from = placed.findLastIndex(({ place }) => place?.target !== target) + 1
    const versions = placed.slice(from).map(({ version }) => {
      const { after, until } = version
      const at = (old: Cursor) => this.at(old, { source, target })
      return { ...version, after: at(after), ...(until !== undefined && { until: at(until) }) }
    })
    const { partition: _, ...rest } = kept
    const isThis = trigger !== undefined && kept.of === markOf(trigger)
    return {
      ...rest,
      of: isThis ? markOf(this.reader(trigger)) : kept.of,
      versions,
      ...(from > 0 && { shortened: true }),
      ...(target > 0 && { partition: target }),
    }
  }

  /** How far a trigger's own reader has come, as that of a tenant that is aside becomes one; undefined where it has none. */
  async own(record: RoutingRecord, trigger: Trigger): Promise<Position | undefined> {
    const place = this.#placeOf(trigger)
    if (place === undefined || record.of !== markOf(trigger)) return undefined
    const reader = readerOf(pathOf(trigger), trigger.incarnation)
    const after = await this.#attachedAfter(record, trigger, place.source)
    if (after !== undefined && !after.isAside) return undefined
    const position = after?.cursor ?? (await this.#engine.queue.position(reader))
    return position === undefined ? undefined : { reader, cursor: this.at(position, place) }
  }

  /** The main readers: everything before their places was routed, and what was routed beyond is told by the records. */
  async mains(): Promise<readonly Position[]> {
    const found: Position[] = []
    for (let target = 0; target < this.#target.partitions; target++) {
      const cursor = await this.#main(target)
      if (cursor !== undefined) found.push({ reader: mainReaderOf(target), cursor })
    }
    return found
  }

  /**
   * Where a main reader of the source is, or before it that of a tenant that is aside: delayed events of that one, which no
   * trigger's reader sees, are to be passed yet.
   */
  async #passed(partition: number): Promise<Cursor | undefined> {
    const { catalog, queue } = this.#engine
    const record = (await catalog.get<AsideRecord>(asideKey(partition)))?.value
    let earliest = await queue.position(mainReaderOf(partition))
    for (const tenant of record?.tenants ?? []) {
      if (tenant === null || earliest === undefined) continue
      const { cursor } = await placeOfTenant({ engine: this.#engine, partition, tenant })
      if (cursor === undefined || this.#source.compare(cursor, earliest) < 0) earliest = cursor
    }
    return earliest
  }

  /** The earliest place that any of the source's main readers has come to; one that has read all does not count. */
  async #main(target: number): Promise<Cursor | undefined> {
    let earliest: Cursor | undefined
    let end: Cursor | undefined
    for (let source = 0; source < this.#source.partitions; source++) {
      const last = this.#map.last(source, target)
      if (last === undefined) continue
      if (end === undefined || this.#target.compare(last.new, end) > 0) end = last.new
      const position = await this.#passed(source)
      if (position === undefined) return undefined
      if (this.#source.compare(position, last.old) >= 0) continue
      const here = this.at(position, { source, target })
      if (earliest === undefined || this.#target.compare(here, earliest) < 0) earliest = here
    }
    return earliest ?? end
  }

  /** After the last event that was copied and is at or before `old`; before all where there is none. */
  at(old: Cursor, { source, target }: { readonly source: number; readonly target: number }): Cursor {
    return this.#map.floor(old, source, target)?.new ?? this.#target.oldest(target)
  }

  #placeOf({ tenant, topic }: Omit<Reads, "from">): { readonly source: number; readonly target: number } | undefined {
    const parsed = parseTopic(topic)
    if (typeof parsed === "string") return undefined
    const address = { tenant, topic: parsed.topic }
    return { source: this.#source.partitionOf(address), target: this.#target.partitionOf(address) }
  }
}
