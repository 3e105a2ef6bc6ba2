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

/** Deliveries that are neither done nor dead: added, leased, ended, held, moved and looked at. */
export interface Deliveries {
  /**
   * Adds deliveries and moves the reader's position in one step. Idempotent: a delivery that is open or dead stays as it
   * is, and a call whose position is not beyond the saved one changes nothing, so that nothing done comes back.
   */
  enqueue(deliveries: readonly Delivery[], position?: Position): Promise<void>
  /** Yields a lane of this process's whenever it has come to have due work; ends when `stop` aborts. */
  lanes(stop: AbortSignal): AsyncIterable<string>
  /**
   * Up to `max` due deliveries, oldest event first, each hidden from others for `leaseMs`. Empty: none is due now. Of those with
   * one order key only the first is due, whatever keeps it; redriven and carried ones are in their events' places again. Where
   * there are more keys than are held in memory, all of them have their turn, in no order among each other.
   */
  lease(options: { readonly lane: string; readonly max: number; readonly leaseMs: number }): Promise<readonly Lease[]>
  /** Begins the lease's time anew. Throws LeaseLostError. */
  extend(lease: Lease, leaseMs: number): Promise<void>
  /** Throws LeaseLostError; then nothing was changed. */
  end(lease: Lease, ending: Ending): Promise<void>
  /** Makes due what was held for this trigger, of this incarnation alone; answers how many. */
  resume(tenant: string, trigger: string, incarnation: string): Promise<number>
  /** Every trigger that something is held for, once each. */
  held(): Promise<readonly TriggerName[]>
  /** Drops the open deliveries of this trigger (it was deleted), of this incarnation alone; answers how many. */
  drop(tenant: string, trigger: string, incarnation: string): Promise<number>
  /**
   * Brings the open deliveries of this trigger to another destination: there they are due, with no attempts made, as they would
   * be had they just been enqueued. Those that are leased stay where they are. Answers how many. Idempotent.
   */
  move(of: TriggerName, destination: string): Promise<number>
  /** The open delivery, if it is one. */
  open(delivery: Delivery): Promise<OpenDelivery | undefined>
  /** Looks at a bounded number of rows: a page may hold few that match, or none, and there be more. */
  openDeliveries(query: OpenDeliveryQuery): Promise<OpenDeliveryPage>
  /** Open deliveries of a lane. */
  depth(lane: string): Promise<number>
  /** Whoever delivers in this process tells how its lanes fare. */
  reportBy(report: (lane: string) => LaneReport): void
  /** Where lanes stand, by name, each as the process tells that has it. Those of which nobody can be asked are missing. */
  statusOf(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneStatus>>
}

/** A timed hold on a delivery. */
export interface Lease {
  readonly delivery: Delivery
  /** From 1: leases of this delivery that ended, lapsed ones included, and one. */
  readonly attempt: number
  /** Attempts that no longer count against the policy, from before a redrive. */
  readonly attemptsForgiven: number
  /** When the delivery first became due; what its policy's age counts from. Holding it back by pause moves it. */
  readonly firstDueAt: number
  readonly token: number
}
