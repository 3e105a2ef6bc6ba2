import type { Address } from "../src/core/address.ts"
import type { Clock } from "../src/core/clock.ts"
import type { Cursor } from "../src/core/cursor.ts"
import { type Delivery, deliveryId, type TriggerName } from "../src/core/delivery.ts"
import type { Event } from "../src/core/event.ts"
import type { Trigger } from "../src/core/resources.ts"
import type { Matcher } from "../src/match/matcher.ts"
import { NamedDamage } from "./damage.ts"
import type { DelayedRecord } from "./delayed.ts"
import type { Fields, ResourceModel } from "./model.ts"
import { OrderRecord } from "./order.ts"
import type { PositionModel } from "./positions.ts"
import type { AnswerRecord } from "./replies.ts"
import { LimitedSending } from "./shares.ts"

/** The numbers of ARCHITECTURE.md. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10

/** The hub broke a promise. Caught by the run, which prints it with its seed. */
export class InvariantError extends Error {
  override readonly name = "InvariantError"
  readonly invariant: Invariant
  constructor(invariant: Invariant, detail: string) {
    super(detail)
    this.invariant = invariant
  }
}

/** An event that somebody tried to publish; only an acknowledged one must be in the log. */
export interface Published {
  readonly address: Address
  readonly event: Event
  readonly at: number
}

export interface Acknowledged extends Published {
  readonly cursor: Cursor
  readonly duplicate: boolean
  readonly acknowledgedAt: number
}

/** An append that held only if `expected` was the address's last event. */
export interface Conditional {
  readonly address: Address
  readonly cursor: Cursor
  readonly expected: Cursor | "none"
}

/** A version of a trigger: when it was asked for, and when the hub said that it holds, if it did. */
export interface TriggerVersion {
  readonly trigger: Trigger
  /** Of this version alone, naive. */
  readonly matcher: Matcher
  readonly askedAt: number
  acknowledgedAt?: number
}

/** One trigger; another one that is made under its id later has a record of its own. */
export interface TriggerRecord {
  readonly tenant: string
  readonly id: string
  /** Known once it was seen. */
  incarnation?: string | undefined
  /** In the order in which they were asked for; what was refused is not among them. */
  readonly versions: TriggerVersion[]
  /** When it was asked to go, and when that was acknowledged. */
  deletionAt?: number
  deletedAt?: number
}

export interface LeaseRecord {
  readonly token: number
  readonly attempt: number
  /** When its attempt was said to begin, by the clock's steady time. */
  begunAt?: number
  /** It lasts until here at least. */
  untilMs: number
  /** Its holder has begun to end it. */
  ending: boolean
  /** The queue has ended it, or may have: the delivery could not be stored, or is being unlocked. */
  voided: boolean
  /** It was asked to be unlocked; that its holder ended it is as well. */
  unlocking?: boolean
}

/** What was seen of one delivery, from outside the hub. */
export interface DeliveryRecord {
  readonly id: string
  sends: number
  /** How often it was asked to be put back. */
  redrives: number
  /** Receipts that were answered with 2xx. */
  taken: number
  /** Receipts that were answered with a permanent failure. */
  refused: number
  firstReceiptAt?: number
  /** It ended with its trigger. */
  deleted?: boolean
  /** Whether this life of the hub has leased it. */
  leased: boolean
  /** The newest lease. */
  live?: LeaseRecord
  /** Its lease never lapses, and no crash ends it; unclear: that it is ended or unlocked was asked for. */
  kept?: true | "unclear"
  /** How it ended, as the hub has said: no crash takes that back. */
  ended?: { readonly kind: "done" | "dead" | "discarded" | "edited" }
  /** It was said to be delivered once more; how many receipts there were before. */
  resentFrom?: number
  /** Its dead letter was asked to be discarded. */
  discarded?: boolean
  /** The deliveries that were to take its dead letter's place. */
  edits?: string[]
  /** Not to be leased before this. */
  rest?: { readonly untilMs: number }
  /** This attempt was under way when the process died: it counts. */
  unended?: number
}

/** An attempt that is under way for so long is noted, whatever else goes on. */
const notedMs = 2_000

/** A topic was asked to go, with all that was in it. */
export interface Deletion {
  readonly tenant: string
  readonly topic: string
  readonly askedAt: number
  /** From here on it does nothing any more. */
  overAt: number
  /** It was acknowledged. */
  sure: boolean
}

/** A time during which the hub owed nobody speed. */
export interface Disturbance {
  readonly from: number
  to: number
}

/** What the world knows of a run: what was asked of the hub, what it answered, what it did. Bounded by the run's length. */
export class RunRecord {
  readonly published = new Map<string, Published>()
  /** What the hub was about to store in place of an event that a dead letter was of. */
  readonly edits = new Map<string, Published>()
  /** Letters' ids with the subjects that their edits were asked to have. */
  readonly askedEdits = new Set<string>()
  /** How often each was asked to be published. */
  readonly asked = new Map<string, number>()
  readonly acknowledged: Acknowledged[] = []
  /** What was asked for once more without an answer: it may be stored. */
  readonly unheard: Published[] = []
  /** What the hub said it did not store. */
  readonly refused: string[] = []
  readonly conditions: Conditional[] = []
  readonly delayed: DelayedRecord[] = []
  /** What the hub named as an address's last event: it may not be another event after a crash. */
  readonly named: { readonly address: Address; readonly cursor: Cursor }[] = []
  /** In the order in which they were asked for. */
  readonly triggers: TriggerRecord[] = []
  /** By their paths. */
  readonly models = new Map<string, ResourceModel>()
  /** Where subscriptions stand, by their paths. */
  readonly positions = new Map<string, PositionModel>()
  readonly deletions: Deletion[] = []
  readonly damage = new NamedDamage()
  /** What deliveries were answered with, by their ids. */
  readonly answers = new Map<string, AnswerRecord>()
  /** Events that were dropped one by one, in that order. */
  readonly dropped = new Map<Cursor, number>()
  readonly deliveries = new Map<string, DeliveryRecord>()
  readonly order = new OrderRecord()
  /** Ids of replays that were asked to be cancelled: what they made is owed no more. */
  readonly cancelled = new Set<string>()
  readonly disturbances: Disturbance[] = []
  readonly jumps: { readonly at: number; readonly ms: number }[] = []
  readonly limited = new LimitedSending()
  /** By endpoint, the rest that it asked for and the hub has heard of. */
  readonly rests = new Map<string, { readonly since: number; readonly until: number }>()
  readonly counts = new Map<string, number>()
  readonly #moving: string[] = []
  #numbers = 0

  /** One that no other event has: two that are made at once are two. */
  newNumber(): number {
    return ++this.#numbers
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  /** What was asked to be stored as this event. */
  source(identity: string): Published | undefined {
    return this.published.get(identity) ?? this.edits.get(identity)
  }

  delivery(id: string): DeliveryRecord {
    const known = this.deliveries.get(id)
    if (known) return known
    const made: DeliveryRecord = { id, sends: 0, redrives: 0, taken: 0, refused: 0, leased: false }
    this.deliveries.set(id, made)
    return made
  }

  /** All that had this id, one after the other. */
  triggersOf({ tenant, id }: { readonly tenant: string; readonly id: string }): readonly TriggerRecord[] {
    return this.triggers.filter((trigger) => trigger.tenant === tenant && trigger.id === id)
  }

  /** Those that a delivery may be of: one, as soon as it has been seen. */
  triggersFor({ tenant, trigger: id, incarnation }: Pick<Delivery, "tenant" | "trigger" | "incarnation">) {
    return this.triggersOf({ tenant, id }).filter((each) => (each.incarnation ?? incarnation) === incarnation)
  }

  /** Whether the delivery's trigger was asked to go. */
  isDeleted(delivery: Delivery): boolean {
    return this.triggersFor(delivery).some(({ deletionAt }) => deletionAt !== undefined)
  }

  /** A trigger's deliveries are being moved, until what is answered is called: they wait for no retry then. */
  moving(of: TriggerName): () => void {
    const forgetRests = () => {
      for (const delivery of this.deliveries.values()) {
        if (!delivery.id.endsWith(suffixOf(of))) continue
        delete delivery.rest
        delete delivery.unended
      }
    }
    const moving = suffixOf(of)
    this.#moving.push(moving)
    forgetRests()
    return () => {
      this.#moving.splice(this.#moving.indexOf(moving), 1)
      forgetRests()
    }
  }

  isMoving(of: TriggerName): boolean {
    return this.#moving.includes(suffixOf(of))
  }

  /** A topic is asked to go; the answer takes whether it has. */
  deleteTopic({ tenant, id: topic }: ResourceModel, clock: Clock): (made: boolean, shown?: Fields) => void {
    const deletion: Deletion = { tenant, topic, askedAt: clock.now(), overAt: Number.POSITIVE_INFINITY, sure: false }
    this.deletions.push(deletion)
    return (made, shown) => {
      deletion.overAt = clock.now()
      deletion.sure = made
      // Where it was refused, nothing of it was done.
      if (!made && shown === undefined) this.deletions.splice(this.deletions.indexOf(deletion), 1)
    }
  }

  /** The process died. What it said to be done stays so. */
  crashed(steady: number): void {
    this.rests.clear()
    this.limited.crashed()
    for (const delivery of this.deliveries.values()) {
      const { live } = delivery
      const isNoted = live?.begunAt !== undefined && steady - live.begunAt > notedMs
      if (isNoted && !live.ending && !live.voided && !delivery.kept) delivery.unended = live.attempt
      delete delivery.live
      delivery.leased = false
    }
  }

  /** The time without the leaps of the clock: spans between two such times were lived through. */
  smooth(time: number): number {
    let smooth = time
    for (const { at, ms } of this.jumps) if (at < time) smooth -= Math.min(ms, time - at)
    return smooth
  }

  /** Whether the hub was being disturbed at some time of this span. */
  disturbed(from: number, to: number): boolean {
    return this.disturbances.some((time) => time.from <= to && time.to >= from)
  }
}

/** What the ids of a trigger's deliveries end in. */
function suffixOf({ trigger, incarnation }: TriggerName): string {
  return deliveryId("" as Cursor, trigger, incarnation)
}

/** What makes two events the same occurrence on a topic. */
export function identityOf(address: Address, event: Event): string {
  return `${address.tenant} ${address.topic} ${event.source} ${event.id}`
}

/** Whether two events are the same to the byte. */
export function isSame(one: Event, other: Event): boolean {
  return (
    one.dataKind === other.dataKind &&
    Buffer.compare(one.attributesJson, other.attributesJson) === 0 &&
    Buffer.compare(one.data ?? nothing, other.data ?? nothing) === 0
  )
}

const nothing = new Uint8Array()
