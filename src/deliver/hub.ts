import type { Chance, Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import type { Ending, Lease, Leasing } from "../core/deliveries.ts"
import type { Attempt, DeadLetter, Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { ClosedError, LeaseLostError } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"
import type { TenantShares } from "../core/tenant-shares.ts"
import type { Backlog } from "./backlog.ts"
import type { Breaker } from "./breaker.ts"
import type { Directory } from "./directory.ts"
import type { Records, ToldVerdict } from "./records.ts"
import type { Replies } from "./replies.ts"
import type { SenderSlotContext } from "./sender-slot.ts"
import type { SharedOfDestinations } from "./shared.ts"
import type { Slots } from "./slots.ts"
import type { Telling } from "./telling.ts"

/** What telemetry may want to know; each is called from the loops and must return at once. */
export interface DeliveryObserver {
  /** An attempt has ended and been settled. */
  attempt?(told: {
    readonly lane: string
    readonly delivery: Delivery
    readonly attempt: Attempt
    readonly verdict: ToldVerdict
    /** Of a first attempt: how long after its event was stored it began; undefined for an event that is older than its trigger. */
    readonly waitedMs?: number | undefined
  }): void
  dead?(letter: DeadLetter): void
  breaker?(lane: string, state: Breaker["kind"]): void
  /** Someone else had the delivery when its attempt ended; it may reach its destination twice. */
  leaseLost?(lane: string): void
  /** An attempt or a dead letter could not be told to the log. */
  recordLost?(): void
}

export interface DeliveryLimits {
  /** Leases in hand, in all lanes together; see Slots. */
  readonly inFlightMax: number
  /** What tenants have of these, and limits of their own. */
  readonly tenants: TenantShares
  readonly leaseMs: number
  /** Leases of one lane that wait for their turn with their event at hand. */
  readonly aheadMax: number
  /** An attempt that takes longer is aborted. Kinds have shorter limits of their own. */
  readonly attemptMsMax: number
  /** The longest rest that a destination may ask for. */
  readonly restMsMax: number
  /** A lane that had nothing to do for so long lets go of its sender. */
  readonly idleMs: number
  /** Stopping waits for what is being sent for so long before it aborts it. */
  readonly stopMs: number
}

export const deliveryLimits: DeliveryLimits = {
  inFlightMax: 4_096,
  tenants: new Map(),
  leaseMs: 60_000,
  aheadMax: 32,
  attemptMsMax: 120_000,
  restMsMax: 86_400_000,
  idleMs: 300_000,
  stopMs: 10_000,
}

/** What the lanes share. */
export interface Hub {
  readonly engine: Engine
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Logger
  readonly observe: DeliveryObserver
  readonly limits: DeliveryLimits
  readonly slots: Slots
  readonly shared: SharedOfDestinations
  readonly directory: Directory
  readonly backlog: Backlog
  readonly records: Records
  readonly replies: Replies
  readonly senders: SenderSlotContext
  readonly gate: Gate
  readonly telling: Telling
}

const gateMs = 1_000
const [writeDelayMinMs, writeDelayMaxMs] = [100, 5_000]

/** While the engine fails nothing is leased. */
export class Gate {
  readonly #queue: Pick<Leasing, "extend" | "end">
  readonly #clock: Clock
  readonly #log: Logger
  /** By the clock's steady time. */
  closedUntil = 0
  /** Set at the end: what cannot be written then is left as it is. */
  stopped = false

  constructor(queue: Pick<Leasing, "extend" | "end">, clock: Clock, log: Logger) {
    this.#queue = queue
    this.#clock = clock
    this.#log = log
  }

  /** The engine did not do what it was asked for. */
  trouble(error: unknown, what: string): void {
    if (error instanceof ClosedError) {
      this.stopped = true
      return
    }
    this.closedUntil = this.#clock.steady() + gateMs
    this.#log.error({ err: error }, `${what} failed; deliveries wait`)
  }

  /**
   * Ends a lease. That is tried until the engine takes it: else what was delivered would be delivered again. Answers false where
   * the lease was lost, or the end came first.
   */
  end(lease: Lease, ending: Ending): Promise<boolean> {
    return this.#untilTaken(() => this.#queue.end(lease, ending))
  }

  /** Begins the lease's time anew; answers as {@link Gate.end}. */
  extend(lease: Lease, leaseMs: number): Promise<boolean> {
    return this.#untilTaken(() => this.#queue.extend(lease, leaseMs))
  }

  async #untilTaken(write: () => Promise<void>): Promise<boolean> {
    // Ends: the engine takes it, the lease is lost, or the worker stops; meanwhile it rests, longer each time.
    for (let delayMs = writeDelayMinMs; !this.stopped; delayMs = Math.min(2 * delayMs, writeDelayMaxMs)) {
      try {
        await write()
        return true
      } catch (error) {
        if (error instanceof LeaseLostError) return false
        this.trouble(error, "ending a lease")
        await sleep(this.#clock, delayMs)
      }
    }
    return false
  }

  /** Does what may be done twice until the engine takes it, or the end comes: else nobody would come back to it. */
  async persist(what: string, work: () => Promise<void>): Promise<void> {
    // Ends: the engine does it, or the worker stops; meanwhile it rests, longer each time.
    for (let delayMs = writeDelayMinMs; !this.stopped; delayMs = Math.min(2 * delayMs, writeDelayMaxMs)) {
      try {
        return await work()
      } catch (error) {
        this.trouble(error, what)
        await sleep(this.#clock, delayMs)
      }
    }
  }
}
