import { createHash } from "node:crypto"
import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Delivery, Failed, ReplyRecord } from "../core/delivery.ts"
import type { ReplyTaker } from "../core/destination.ts"
import { editAttribute } from "../core/edits.ts"
import { ExpectedLastError, isPassing, PublishRefusedError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import { hopsAttribute, hopsMax, hopsOf } from "../core/hops.ts"
import type { Appended, EventLog, StoredEvent } from "../core/log.ts"
import type { Directory } from "./directory.ts"

/** Of one answer. */
export const replyEventsMax = 100
/** Which one of how many an event of an answer is (`2/3`); where it is the only one it does not say so. */
export const partAttribute = "redcarpart"

const keyLengthMax = 128
const triesMax = 5

/** How answers reach the log. */
export interface ReplyPublishing {
  /** Of an answer that holds events, at most. */
  readonly bytesMax: number
  /**
   * Publishes after the address's last event, all or nothing. Throws ExpectedLastError, and PublishRefusedError, which says
   * whether it may be taken later.
   */
  publish(
    address: Address,
    events: readonly Event[],
    expectedLast: Cursor | "none",
  ): Promise<readonly Pick<Appended, "cursor" | "duplicate">[]>
}

/** What replies are published by. */
export interface RepliesOptions extends ReplyPublishing {
  readonly log: Pick<EventLog, "get" | "last" | "read">
  readonly directory: Pick<Directory, "trigger">
}

/**
 * Publishes what destinations answer with, each delivery's once: under the delivery's id as key, where nothing may be before. So the
 * first answer wins, whatever comes of an attempt that is made once more. Of an answer of several events a power cut may leave some:
 * those that are missing are taken from the next answer.
 */
export class Replies {
  readonly #options: RepliesOptions

  constructor(options: RepliesOptions) {
    this.#options = options
  }

  /** Takes what the attempts to bring `event` are answered with. */
  to(delivery: Delivery, event: Event): ReplyTaker {
    const { bytesMax } = this.#options
    return { bytesMax, eventsMax: replyEventsMax, take: (events) => this.#take(delivery, event, events) }
  }

  async #take(delivery: Delivery, event: Event, events: readonly Event[]): Promise<ReplyRecord | Failed> {
    try {
      const trigger = await this.#options.directory.trigger(delivery)
      if (trigger?.reply === undefined) return refused("its trigger has no reply topic any more")
      const hops = hopsOf(event) + 1
      if (hops > hopsMax)
        return refused(
          `the event came of ${hops - 1} forwards and replies, ${hopsMax} are the most: do triggers answer in a circle?`,
        )
      const { tenant } = delivery
      const address = { tenant, topic: trigger.reply.topic, key: replyKey(delivery.id) }
      const replies = events.map((each, i) => replyTo(event, each, { hops, part: `${i + 1}/${events.length}` }))
      return await this.#publish(address, replies)
    } catch (error) {
      const passes = error instanceof PublishRefusedError ? error.isPassing : isPassing(error)
      if (passes)
        return { kind: "failed", detail: `its answer could not be published: ${messageOf(error)}`, permanent: false }
      if (error instanceof PublishRefusedError) return refused(error.message)
      throw error
    }
  }

  async #publish(address: Address & { readonly key: string }, replies: readonly Event[]): Promise<ReplyRecord> {
    let missing = replies
    let expected: Cursor | "none" = "none"
    let known: readonly Cursor[] = []
    for (let tries = 0; tries < triesMax; tries++) {
      try {
        const stored = await this.#options.publish(address, missing, expected)
        const isDuplicate = stored.every(({ duplicate }) => duplicate)
        return published(address, [...known, ...stored.map(({ cursor }) => cursor)], isDuplicate)
      } catch (error) {
        if (!(error instanceof ExpectedLastError)) throw error
      }
      const there = await this.#at(address)
      known = there.map(({ cursor }) => cursor)
      expected = known.at(-1) ?? "none"
      const parts = there.map(({ event }) => partOf(event))
      const of = parts[0]?.of ?? replies.length
      missing = replies.filter((_, i) => !parts.some(({ number }) => number === i + 1))
      if (parts.length === of) return published(address, known, true)
      if (of !== replies.length)
        return refused(`of an earlier answer ${parts.length} of ${of} events are there; this one has ${replies.length}`)
    }
    throw new PublishRefusedError("too much is published on its topic at once", undefined, true)
  }

  /** What is there of the delivery's answer. */
  async #at(where: Address): Promise<readonly StoredEvent[]> {
    const { log } = this.#options
    const until = await log.last(where)
    if (until === undefined) return []
    const last = await log.get(until)
    if (last !== undefined && partOf(last.event).of === 1) return [last]
    const all: StoredEvent[] = []
    for await (const { events } of log.read({ where, until })) all.push(...events)
    return all
  }
}

/** The key of a delivery's answer: its id, or where that is longer than a key may be, a hash behind its cursor. */
export function replyKey(deliveryId: string): string {
  if (deliveryId.length <= keyLengthMax) return deliveryId
  const cursor = deliveryId.slice(0, deliveryId.indexOf("."))
  return `${cursor}.~${createHash("sha256").update(deliveryId).digest("hex")}`
}

function partOf(event: Event): { readonly number: number; readonly of: number } {
  const [number, of] = String(event.attribute(partAttribute) ?? "1/1")
    .split("/")
    .map(Number)
  return { number: number!, of: of! }
}

/** An event that a destination answered with as it is published: it is caused by the one that was delivered. */
function replyTo(
  event: Event,
  { attributes, data, dataKind }: Event,
  { hops, part }: { hops: number; part: string },
): Event {
  const { [editAttribute]: _, [partAttribute]: __, ...own } = attributes
  return Event.of(
    {
      ...own,
      causationid: event.id,
      correlationid: event.attribute("correlationid") ?? event.id,
      [hopsAttribute]: hops,
      ...(part !== "1/1" && { [partAttribute]: part }),
    },
    data,
    dataKind,
  )
}

function published({ topic }: Address, cursors: readonly Cursor[], isDuplicate: boolean): ReplyRecord {
  return { kind: "published", topic, cursors, ...(isDuplicate && { duplicate: true }) }
}

function refused(detail: string): ReplyRecord {
  return { kind: "refused", detail }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
