import type { Address } from "../src/core/address.ts"
import type { Cursor } from "../src/core/cursor.ts"
import type { Event } from "../src/core/event.ts"
import type { Trigger } from "../src/core/resources.ts"
import type { Matcher } from "../src/match/matcher.ts"

/** The numbers of DESIGN.md part 6. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6

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

export interface TriggerRecord {
  readonly tenant: string
  readonly id: string
  /** In the order in which they were asked for; what was refused is not among them. */
  readonly versions: TriggerVersion[]
  /** When it was asked to go, and when that was acknowledged. */
  deletionAt?: number
  deletedAt?: number
}

export interface LeaseRecord {
  readonly token: number
  /** It lasts until here at least. */
  untilMs: number
  /** Its holder has begun to end it. */
  ending: boolean
  /** The queue has ended it: the delivery could not be stored. */
  voided: boolean
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
  /** How it ended, and how many calls the store had seen by then: a crash that loses any of them may bring it back. */
  ended?: { readonly kind: "done" | "dead"; readonly calls: number }
  /** Not to be leased before this. */
  rest?: { readonly untilMs: number; readonly calls: number }
}

/** A time during which the hub owed nobody speed. */
export interface Disturbance {
  readonly from: number
  to: number
}

/** What the world knows of a run: what was asked of the hub, what it answered, what it did. Bounded by the run's length. */
export class RunRecord {
  readonly published = new Map<string, Published>()
  /** How often each was asked to be published. */
  readonly asked = new Map<string, number>()
  readonly acknowledged: Acknowledged[] = []
  /** What the hub said it did not store. */
  readonly refused: string[] = []
  readonly conditions: Conditional[] = []
  /** What the hub named as an address's last event: it may not be another event after a crash. */
  readonly named: { readonly address: Address; readonly cursor: Cursor }[] = []
  readonly triggers = new Map<string, TriggerRecord>()
  readonly deliveries = new Map<string, DeliveryRecord>()
  readonly disturbances: Disturbance[] = []
  readonly jumps: { readonly at: number; readonly ms: number }[] = []
  /** By endpoint, the rest that it asked for and the hub has heard of. */
  readonly rests = new Map<string, { readonly since: number; readonly until: number }>()
  readonly counts = new Map<string, number>()

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  delivery(id: string): DeliveryRecord {
    const known = this.deliveries.get(id)
    if (known) return known
    const made: DeliveryRecord = { id, sends: 0, redrives: 0, taken: 0, refused: 0, leased: false }
    this.deliveries.set(id, made)
    return made
  }

  /** Whether the delivery's trigger was asked to go. */
  isDeleted({ tenant, trigger }: { readonly tenant: string; readonly trigger: string }): boolean {
    return this.triggers.get(`${tenant}/${trigger}`)?.deletionAt !== undefined
  }

  /** The process died; the store kept `kept` of its calls. What rested on a lost call may happen again. */
  crashed(kept: number): void {
    this.rests.clear()
    for (const delivery of this.deliveries.values()) {
      delete delivery.live
      delivery.leased = false
      if (delivery.ended && delivery.ended.calls > kept) delete delivery.ended
      if (delivery.rest && delivery.rest.calls > kept) delete delivery.rest
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
