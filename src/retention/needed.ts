import { parseTopic } from "../core/address.ts"
import { replayKeys, routedAsKeys, routingKeys, triggerKeys } from "../core/catalog-keys.ts"
import { itemsUnder } from "../core/catalog-scan.ts"
import type { Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { DamagedError, InvalidCursorError } from "../core/errors.ts"
import type { Needed } from "../core/log.ts"
import { createPace } from "../core/pace.ts"
import type { Replay, Topic, Trigger } from "../core/resources.ts"
import { pathOf, placeOfTenant, type RoutedAs, type RoutingRecord, readerOf, replayReaderOf } from "../core/routing.ts"

/** For whom events of a topic are kept beyond its limits: the one that needs the oldest of them. */
export interface Holder {
  /** delivery: an open one; deadLetter; trigger: it has not read them yet; replay: the same. */
  readonly kind: "delivery" | "deadLetter" | "trigger" | "replay"
  readonly id: string
  /** Of all kinds. */
  readonly trigger: string
}

/** What of a topic must stay, and for whom. */
export interface Held extends Holder {
  readonly needed: Needed
}

/** Open deliveries, or dead letters, that are looked at for one topic at a time; beyond them nobody looks, and nothing goes. */
const lookedAtMax = 20_000
const pageMax = 500
/** Of those, events that are read to know their topic. */
const readMax = 1_000

/** A trigger, and the topics that its deliveries can be of. */
interface Reader {
  readonly trigger: Trigger
  readonly topics: ReadonlySet<string>
}

/** Finds what is still needed of topics. What tenants have of triggers and replays is read once: for one round. */
export class Needs {
  readonly #engine: Pick<Engine, "catalog" | "log" | "queue">
  readonly #clock: Clock
  readonly #readers = new Map<string, Promise<ReadonlyMap<string, Reader>>>()
  readonly #replays = new Map<string, Promise<readonly Replay[]>>()

  constructor(engine: Pick<Engine, "catalog" | "log" | "queue">, clock: Clock) {
    this.#engine = engine
    this.#clock = clock
  }

  /** The oldest need of the topic's events up to `last`; undefined: nobody needs any. Throws what the engine throws. */
  async of(topic: Topic, last: Cursor): Promise<Held | undefined> {
    const found = [await this.#unread(topic), await this.#unreplayed(topic), await this.#undelivered(topic, last)]
    if (topic.retention.keepDeadLetters) found.push(await this.#dead(topic, last))
    const held = found.flat().filter((each) => each !== undefined)
    return held.sort((a, b) => this.#order(a.needed, b.needed))[0]
  }

  #order(one: Needed, other: Needed): number {
    const places = this.#engine.log.compare(placeOf(one), placeOf(other))
    // An event is before what is behind it.
    return places || Number(one.from === undefined) - Number(other.from === undefined)
  }

  /** Triggers on the topic, by how far each has read. */
  async #unread({ tenant, id }: Topic): Promise<readonly Held[]> {
    const { catalog, queue, log } = this.#engine
    const partition = log.partitionOf({ tenant, topic: id })
    const held: Held[] = []
    let main: Cursor | undefined
    const place = { engine: this.#engine, partition, tenant }
    for (const { trigger } of (await this.#triggers(tenant)).values()) {
      if (topicOf(trigger) !== id) continue
      const { incarnation = "", from } = trigger
      const path = pathOf(trigger)
      const record = (await catalog.get<RoutingRecord>(routingKeys.at(path)))?.value
      const own = (await queue.position(readerOf(path, incarnation))) ?? from
      main ??= (await placeOfTenant(place)).cursor ?? log.oldest(partition)
      const attached = record?.of === incarnation ? record.attachedAfter : undefined
      const after = attached === undefined ? own : log.compare(main, attached) > 0 ? main : attached
      // One that came from a topic in another part of the log has not begun to read this one.
      if (!this.#isComparable(after, main)) continue
      held.push({ kind: "trigger", id: trigger.id, trigger: trigger.id, needed: { after } })
    }
    return held
  }

  async #unreplayed({ tenant, id }: Topic): Promise<readonly Held[]> {
    const { queue, log } = this.#engine
    const held: Held[] = []
    for (const replay of await this.#replaysOf(tenant)) {
      if (topicOf(replay) !== id) continue
      const after = (await queue.position(replayReaderOf(replayKeys.of(replay)))) ?? replay.from
      if (log.compare(after, replay.until) >= 0) continue
      held.push({ kind: "replay", id: replay.id, trigger: replay.trigger, needed: { after } })
    }
    return held
  }

  /**
   * The oldest open delivery of the topic. Their ids begin with their events' cursors, but for those that were moved from another
   * engine: those are before all cursors of this one, or behind them.
   */
  async #undelivered(topic: Topic, last: Cursor): Promise<Held | undefined> {
    const { log } = this.#engine
    const first = log.oldest()
    const own = await this.#firstOpen(topic, log.oldest(log.partitionOf({ ...topic, topic: topic.id })), (delivery) =>
      this.#isUpTo(delivery.cursor, last),
    )
    const before = await this.#firstOpen(topic, "", ({ id }) => id < first)
    const behind = await this.#firstOpen(topic, `${await log.head(log.partitions - 1)}~`, () => true)
    const found = [own, before, behind].filter((held) => held !== undefined && this.#isUpTo(held.needed.from!, last))
    return found.sort((a, b) => this.#order(a!.needed, b!.needed))[0]
  }

  /** The first one of the topic, from after this id on, for as long as `goesOn`. */
  async #firstOpen(
    { tenant, id }: Topic,
    start: string,
    goesOn: (delivery: Delivery) => boolean,
  ): Promise<Held | undefined> {
    const readers = await this.#triggers(tenant)
    let after: string | undefined = start
    let [looked, read] = [0, 0]
    // Ends: with the deliveries, or when so many were looked at.
    do {
      const page = await this.#engine.queue.openDeliveries({ tenant, after, limit: pageMax })
      for (const { delivery } of page.deliveries) {
        if (!goesOn(delivery)) return undefined
        const reader = readers.get(delivery.trigger)
        if (reader === undefined || (reader.trigger.incarnation ?? "") !== delivery.incarnation) continue
        if (!reader.topics.has(id)) continue
        if (reader.topics.size === 1 || read++ >= readMax || (await this.#isOn(delivery, id)))
          return heldBy("delivery", delivery)
      }
      looked += Math.max(1, page.deliveries.length)
      after = page.next
      if (looked >= lookedAtMax) return heldBy("delivery", page.deliveries.at(-1)?.delivery)
    } while (after !== undefined)
    return undefined
  }

  async #dead({ tenant, id }: Topic, last: Cursor): Promise<Held | undefined> {
    const { queue, log } = this.#engine
    let after: string | undefined = log.oldest(log.partitionOf({ tenant, topic: id }))
    // Ends: with the letters, or when so many were looked at.
    for (let looked = 0; ; ) {
      const letters = await queue.deadLetters({ tenant, after, limit: pageMax })
      for (const letter of letters) {
        if (!this.#isUpTo(letter.cursor, last)) return undefined
        if (letter.address.topic === id) return heldBy("deadLetter", letter)
      }
      looked += letters.length
      if (letters.length < pageMax) return undefined
      if (looked >= lookedAtMax) return heldBy("deadLetter", letters.at(-1))
      after = letters.at(-1)!.id
    }
  }

  /** What is in another part of the log is beyond: deliveries are listed part by part. */
  #isUpTo(cursor: Cursor, last: Cursor): boolean {
    return this.#isComparable(cursor, last) && this.#engine.log.compare(cursor, last) <= 0
  }

  #isComparable(one: Cursor, other: Cursor): boolean {
    try {
      this.#engine.log.compare(one, other)
      return true
    } catch (error) {
      if (error instanceof InvalidCursorError) return false
      throw error
    }
  }

  async #isOn({ cursor }: Delivery, topic: string): Promise<boolean> {
    try {
      return (await this.#engine.log.get(cursor))?.address.topic === topic
    } catch (error) {
      if (error instanceof DamagedError) return false
      throw error
    }
  }

  #triggers(tenant: string): Promise<ReadonlyMap<string, Reader>> {
    const known = this.#readers.get(tenant) ?? this.#readTriggers(tenant)
    this.#readers.set(tenant, known)
    return known
  }

  async #readTriggers(tenant: string): Promise<ReadonlyMap<string, Reader>> {
    const { catalog } = this.#engine
    const pace = createPace(this.#clock)
    const found = new Map<string, Reader>()
    for await (const { value: trigger } of itemsUnder<Trigger>(catalog, triggerKeys.ofTenant(tenant))) {
      const { id } = trigger
      const history = (await catalog.get<RoutedAs>(routedAsKeys.of({ tenant, id })))?.value
      const topics = [trigger, ...(history?.versions ?? [])].flatMap((version) => topicOf(version) ?? [])
      found.set(id, { trigger, topics: new Set(topics) })
      await pace()
    }
    return found
  }

  #replaysOf(tenant: string): Promise<readonly Replay[]> {
    const known = this.#replays.get(tenant) ?? this.#readReplays(tenant)
    this.#replays.set(tenant, known)
    return known
  }

  async #readReplays(tenant: string): Promise<readonly Replay[]> {
    const found: Replay[] = []
    for await (const { value } of itemsUnder<Replay>(this.#engine.catalog, replayKeys.ofTenant(tenant))) {
      if (value.state !== "done" && value.state !== "cancelled") found.push(value)
    }
    return found
  }
}

function heldBy(kind: "delivery" | "deadLetter", delivery: Delivery | undefined): Held | undefined {
  return delivery && { kind, id: delivery.id, trigger: delivery.trigger, needed: { from: delivery.cursor } }
}

function placeOf({ from, after }: Needed): Cursor {
  return (from ?? after) as Cursor
}

function topicOf({ topic }: { readonly topic: string }): string | undefined {
  const parsed = parseTopic(topic)
  return typeof parsed === "string" ? undefined : parsed.topic
}
