import type { Address } from "../core/address.ts"
import { attemptsTopic, deadLettersTopic, isReservedTopic } from "../core/address.ts"
import type { Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Attempt, DeadLetter, Delivery, Verdict } from "../core/delivery.ts"
import { ClosedError, isPassing, OverloadError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import { hopsAttribute, hopsOf } from "../core/hops.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"
import type { Logger } from "../core/logger.ts"

/**
 * What follows from an attempt, as it is told. Beside the verdicts: held, with the trigger that was paused; lost, where the
 * attempt's lease ended before it did, so that nothing follows from it.
 */
export type ToldVerdict = Verdict | { readonly kind: "held" | "lost" }

/** A crash between telling of a dead letter and burying it tells of it twice, under one id. */
const deadLetterWindowMs = 86_400_000
const overloadTriesMax = 20

/**
 * Tells the log of attempts and dead letters, as events on the reserved topics. What concerns events that are on those
 * topics themselves is not told, or telling would never end.
 */
export class Records {
  readonly #log: EventLog
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #lost: (() => void) | undefined
  #timeAt = Number.NaN
  #timeText = ""

  constructor(options: { log: EventLog; clock: Clock; logger: Logger; lost?: (() => void) | undefined }) {
    this.#log = options.log
    this.#clock = options.clock
    this.#logger = options.logger
    this.#lost = options.lost
  }

  /**
   * Durable when it resolves, or lost and said so: what is owed goes before what is told. One that is told again within
   * `windowMs`, of the same beginning and with the same verdict, is told once.
   */
  async attempt(
    stored: Tried,
    delivery: Delivery,
    attempt: Attempt,
    verdict: ToldVerdict,
    windowMs = 0,
  ): Promise<void> {
    if (isReservedTopic(stored.address.topic)) return
    const time = this.#time(attempt.startedAt + attempt.durationMs)
    const event = attemptEvent(stored, delivery, attempt, verdict, { time, isTold: windowMs > 0 })
    await this.#append(keyed(delivery, attemptsTopic), event, windowMs)
  }

  /** As {@link Records.attempt}; `stored` is undefined where the event itself is gone. */
  async deadLetter(stored: StoredEvent | undefined, letter: DeadLetter): Promise<void> {
    if (isReservedTopic(letter.address.topic)) return
    const event = deadLetterEvent(stored, letter, this.#time(letter.diedAt))
    await this.#append(keyed(letter, deadLettersTopic), event, deadLetterWindowMs)
  }

  /** The same millisecond comes many times in a row, and its text costs 2 µs. */
  #time(at: number): string {
    if (at !== this.#timeAt) {
      this.#timeAt = at
      this.#timeText = new Date(at).toISOString()
    }
    return this.#timeText
  }

  async #append(address: Address, event: Event, dedupeWindowMs: number): Promise<void> {
    // Ends: after overloadTriesMax.
    for (let tries = 1; ; tries++) {
      try {
        await this.#log.append(address, [event], { dedupeWindowMs })
        return
      } catch (error) {
        if (error instanceof ClosedError) return
        if (error instanceof OverloadError && tries < overloadTriesMax) {
          await sleep(this.#clock, error.retryAfterMs)
          continue
        }
        if (!isPassing(error)) throw error
        this.#lost?.()
        this.#logger.warn({ err: error, subject: event.attribute("subject") }, `a ${event.type} could not be recorded`)
        return
      }
    }
  }
}

/** The types of what tells that a dead letter was discarded, or redriven edited. */
export const discardedType = "redcar.dead-letter.discarded"
export const editedType = "redcar.dead-letter.edited"

/** What it holds, beside the names of the delivery. */
export interface Discarding {
  readonly reason: string
  /** Unix milliseconds. */
  readonly discardedAt: number
  /** The id of the key by which it was asked for; absent: that was not kept. */
  readonly by?: string
}

/** What tells that a dead letter was redriven edited holds, beside the names of the delivery. */
export interface Editing {
  /** Of the event that stands for it now. */
  readonly edit: { readonly id: string; readonly source: string; readonly cursor: Cursor; readonly delivery: string }
  /** Unix milliseconds. */
  readonly editedAt: number
  readonly by: string
}

/**
 * Tells the log that a dead letter was discarded: once for each death. `stored` is undefined where the event is gone. Throws what
 * the log throws.
 */
export async function recordDiscard(
  log: EventLog,
  stored: StoredEvent | undefined,
  letter: DeadLetter,
  discarding: Discarding,
): Promise<void> {
  await recordEnd(
    log,
    { type: discardedType, name: "discarded", at: discarding.discardedAt },
    stored,
    letter,
    discarding,
  )
}

/** Tells the log that a dead letter is redriven as another event: once for each. Throws what the log throws. */
export async function recordEdit(
  log: EventLog,
  stored: StoredEvent | undefined,
  letter: DeadLetter,
  editing: Editing,
): Promise<void> {
  const name = `${editing.edit.cursor}.edited`
  await recordEnd(log, { type: editedType, name, at: editing.editedAt }, stored, letter, editing)
}

async function recordEnd(
  log: EventLog,
  { type, name, at }: { readonly type: string; readonly name: string; readonly at: number },
  stored: StoredEvent | undefined,
  letter: DeadLetter,
  told: object,
): Promise<void> {
  if (isReservedTopic(letter.address.topic)) return
  const { id: delivery, trigger, incarnation, destination, cursor, attempts, diedAt } = letter
  const names = { delivery, trigger, ...(incarnation !== "" && { incarnation }), destination, cursor }
  const data = { ...names, topic: letter.address.topic, ...told, deadReason: letter.reason, attempts, diedAt }
  const is = { id: `${delivery}.${diedAt.toString(36)}.${name}`, time: new Date(at).toISOString() }
  const event = recordEvent(type, is, letter, stored?.event, data)
  await log.append(keyed(letter, deadLettersTopic), [event], { dedupeWindowMs: deadLetterWindowMs })
}

function keyed(delivery: Delivery, topic: string): Address {
  return { tenant: delivery.tenant, topic, key: delivery.cursor }
}

/** What an attempt was made of, and where that is on; `event` is undefined where it is gone since. */
interface Tried {
  readonly address: Address
  readonly event: Event | undefined
}

/** An attempt is told once; one that is repeated under its number, because a crash lost the first, began later. */
function attemptEvent(
  stored: Tried,
  delivery: Delivery,
  attempt: Attempt,
  verdict: ToldVerdict,
  { time, isTold }: { readonly time: string; readonly isTold: boolean },
): Event {
  const { number, startedAt, durationMs, outcome, batch } = attempt
  const id = `${delivery.id}.${number}.${startedAt.toString(36)}${isTold ? `.${verdict.kind}` : ""}`
  return recordEvent("redcar.attempt", { id, time }, delivery, stored.event, {
    delivery: delivery.id,
    trigger: delivery.trigger,
    ...(delivery.incarnation !== "" && { incarnation: delivery.incarnation }),
    ...(delivery.replay !== undefined && { replay: delivery.replay }),
    destination: delivery.destination,
    topic: stored.address.topic,
    cursor: delivery.cursor,
    ...(stored.event && { event: identityOf(stored.event) }),
    number,
    startedAt,
    durationMs,
    ...(batch && { batch }),
    outcome,
    verdict,
  })
}

function deadLetterEvent(stored: StoredEvent | undefined, letter: DeadLetter, time: string): Event {
  const data = { ...letter, lastOutcome: letter.lastOutcome }
  return recordEvent(
    "redcar.dead-letter",
    { id: `${letter.id}.${letter.attempts}`, time },
    letter,
    stored?.event,
    stored === undefined ? data : { ...data, event: identityOf(stored.event) },
  )
}

/**
 * Made as text, in a third of the time that an object takes: there is one of these for every attempt. `about` is the event
 * that it is of and was caused by; undefined where that is gone.
 */
function recordEvent(
  type: string,
  { id, time }: { readonly id: string; readonly time: string },
  delivery: Delivery,
  about: Event | undefined,
  data: object,
): Event {
  const source = `/redcar/triggers/${delivery.trigger}`
  const json =
    `{"specversion":"1.0","id":${JSON.stringify(id)},"source":${JSON.stringify(source)},"type":"${type}",` +
    `"subject":${JSON.stringify(delivery.id)},"time":"${time}","datacontenttype":"application/json"${flowOf(about)}}`
  return Event.fromJson(Buffer.from(json), Buffer.from(JSON.stringify(data)), "json", { id, source })
}

/** What the event belongs to, as topics that are forwarded to say it too, and how often it was forwarded or replied. */
function flowOf(event: Event | undefined): string {
  if (event === undefined) return ""
  const flow = String(event.attribute("correlationid") ?? event.id)
  const hops = hopsOf(event)
  const counted = hops > 0 ? `,"${hopsAttribute}":${hops}` : ""
  return `,"causationid":${JSON.stringify(event.id)},"correlationid":${JSON.stringify(flow)}${counted}`
}

function identityOf(event: Event): object {
  return { id: event.id, source: event.source, type: event.type }
}
