import type { DeadLetter, Delivery, TriggerName } from "./delivery.ts"
import type { LaneReport, LaneStatus } from "./lane-status.ts"
import type { OpenDelivery, OpenDeliveryPage, OpenDeliveryQuery } from "./open-delivery.ts"
import type { Position } from "./positions.ts"

/** How a lease ends, and what becomes of its delivery. */
export type Ending =
  | { readonly kind: "done" }
  /** Due again after `delayMs`; the attempt counts. */
  | { readonly kind: "retry"; readonly delayMs: number }
  /** `holdsKey`: those behind it in its order wait until it is redriven or discarded. */
  | { readonly kind: "dead"; readonly letter: DeadLetter; readonly holdsKey?: boolean }
  /** Due again after `delayMs`, as if it had not been leased. */
  | { readonly kind: "release"; readonly delayMs: number }
  /** Held until its trigger is resumed, as if it had not been leased. */
  | { readonly kind: "hold" }

/** Gives deliveries to whoever works on them, and hears how that ended. */
export interface Leasing {
  /**
   * Leases up to `max` due deliveries, oldest event first, and hides each from others for `leaseMs`; answers none where none is
   * due. Of the deliveries with one order key only the first is due, whatever keeps it; redriven and carried ones take their
   * events' places again. Where there are more order keys than fit in memory, each of them has its turn, in no order among them.
   */
  lease(options: LeaseRequest): Promise<readonly Lease[]>
  /** Begins the lease's time anew, where it may lapse. Throws LeaseLostError where the lease is over. */
  extend(lease: Lease, leaseMs: number): Promise<void>
  /** Ends the lease. Throws LeaseLostError where it is over already, and changes nothing then. */
  end(lease: Lease, ending: Ending): Promise<void>
}

export interface LeaseRequest {
  readonly lane: string
  readonly max: number
  readonly leaseMs: number
}

/**
 * Leasing of any lane, whichever process keeps it, for workers that are no loop of the hub: with the lease their attempt begins. Throws StorageError where that
 * process cannot be asked.
 */
export interface LeasingAnywhere extends Leasing {
  /**
   * The leases of a lane by their names, in their order; undefined: it is over, or of another lane. Whoever asks checks whether it
   * is of the delivery that was meant.
   */
  leased(lane: string, names: readonly LeaseName[]): Promise<readonly (LiveLease | undefined)[]>
  /**
   * Has these leases never lapse: each lasts until it is ended or unlocked, over crashes and in whichever process. Durable when it
   * resolves. Answers in their order which did; the others are over.
   */
  keep(lane: string, names: readonly LeaseName[]): Promise<readonly boolean[]>
  /**
   * Ends leases by the ids of their deliveries, those that never lapse too, and makes the deliveries due at once. The attempt
   * counts, and is forgiven. Durable when it resolves. Answers the ids of those that were leased.
   */
  unlock(lane: string, ids: readonly string[]): Promise<readonly string[]>
  /**
   * Resolves when the lane has come to have due work since somebody leased less than they asked for, or when `stop` aborts. It
   * may resolve where there is none.
   */
  due(lane: string, stop: AbortSignal): Promise<void>
}

/** Keeps the open deliveries: those that are neither done nor dead. Of lanes that another process keeps it leases nothing. */
export interface Deliveries extends Leasing {
  readonly anywhere: LeasingAnywhere
  /**
   * Adds deliveries and moves the reader's position in one step. It leaves as it is a delivery that is open or dead already.
   * A call whose position is not beyond the saved one changes nothing, so that no delivery that is done comes back.
   */
  enqueue(deliveries: readonly Delivery[], position?: Position): Promise<void>
  /**
   * Says that attempts begin, under leases of this process. One that is under way for a while, {@link unendedMs}, is noted: where the
   * process dies before it ends, it counts.
   */
  begun(leases: readonly Lease[]): void
  /** Yields a lane of this process's each time that it comes to have due work, until `stop` aborts. */
  lanes(stop: AbortSignal): AsyncIterable<string>
  /** Makes due the deliveries that are held for this incarnation of the trigger; answers how many. */
  resume(tenant: string, trigger: string, incarnation: string): Promise<number>
  /** Answers the triggers that deliveries are held for, each once. */
  held(): Promise<readonly TriggerName[]>
  /** Drops the open deliveries of this incarnation of a trigger, which was deleted; answers how many. */
  drop(tenant: string, trigger: string, incarnation: string): Promise<number>
  /**
   * Moves the open deliveries of this trigger to another destination, and makes them due there as if they had just been
   * enqueued. It leaves leased deliveries where they are. Answers how many it moved; may be called twice.
   */
  move(of: TriggerName, destination: string): Promise<number>
  /** Answers how the delivery stands; undefined where it is not open. */
  open(delivery: Delivery): Promise<OpenDelivery | undefined>
  /** Answers a page of open deliveries. It looks at a bounded number of rows: a page may hold few, or none, and more follow. */
  openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage>
  /** Counts the open deliveries of a lane. */
  depth(lane: string): Promise<number>
  /** Has `report` tell how the lanes fare that this process delivers to. */
  reportBy(report: (lane: string) => LaneReport): void
  /** Answers where lanes stand, by name: it asks the process that has each, and leaves out those whose process does not answer. */
  statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>>
}

/** A timed hold on a delivery. */
export interface Lease {
  readonly delivery: Delivery
  /** From 1: leases of this delivery that ended, lapsed ones included, and one. */
  readonly attempt: number
  /** Attempts that do not count against the policy: from before a redrive, and those that were unlocked. */
  readonly attemptsForgiven: number
  /** When the delivery first became due; what its policy's age counts from. Holding it back by pause moves it. */
  readonly firstDueAt: number
  readonly token: number
  /** The attempt before this one was under way when its process died. */
  readonly unended?: true
}

/** What a lease is known by. */
export interface LeaseName {
  readonly token: number
  /** The delivery's. */
  readonly id: string
}

/** An attempt that is under way for so long is noted, in milliseconds. */
export const unendedMs = 100

/** How long a lease lives that never lapses. */
export const foreverMs = Number.MAX_SAFE_INTEGER

/** A lease that is not over. */
export interface LiveLease extends Lease {
  /** Since when, in milliseconds. */
  readonly heldMs: number
  /** For how long it lives if nobody extends it, in milliseconds; {@link foreverMs}: it never lapses. */
  readonly leftMs: number
  /** When it began, Unix milliseconds: the same whenever it is asked for. */
  readonly begunAt: number
}
