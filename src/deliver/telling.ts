import type { Clock } from "../core/clock.ts"
import type { Lease } from "../core/deliveries.ts"
import { type Attempt, type DeadLetter, type Delivery, partsOfLane } from "../core/delivery.ts"
import type { Logger } from "../core/logger.ts"
import { ByTheMinute } from "../core/minutes.ts"
import type { DeliveryQueue } from "../core/queue.ts"
import type { Breaker } from "./breaker.ts"
import type { ToldVerdict } from "./records.ts"

/** Tells that a trigger was paused because its destination is gone. */
export function tellPaused(
  log: Logger,
  { tenant, trigger, destination }: Pick<Delivery, "tenant" | "trigger" | "destination">,
  reason: string,
): void {
  const line = `trigger ${trigger} is paused, for ${reason}; what it owes waits until it is resumed`
  log.warn({ tenant, trigger, destination }, line)
}

/**
 * Tells the log how deliveries fare: what changes once, what may come in any number by the minute, and at level `debug` the path
 * of each.
 */
export class Telling {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #queue: Pick<DeliveryQueue, "depth">
  readonly #minutes: ByTheMinute
  /** The lanes that are known to be down, since when by the clock's steady time. */
  readonly #down = new Map<string, number>()

  constructor(clock: Clock, log: Logger, queue: Pick<DeliveryQueue, "depth">) {
    this.#clock = clock
    this.#log = log
    this.#queue = queue
    this.#minutes = new ByTheMinute(clock)
  }

  /** A breaker has changed. `why`: what was answered last, or what else it was. Resolves when it is told. */
  async breaker(lane: string, breaker: Breaker, why: string): Promise<void> {
    const since = this.#down.get(lane)
    const { tenant, destination } = partsOfLane(lane)
    if (breaker.kind === "open" && since === undefined) {
      this.#down.set(lane, this.#clock.steady())
      const waiting = await this.#queue.depth(lane).catch(() => undefined)
      const line = `destination ${destination} is down, and is asked now and then until it answers: ${why}`
      this.#log.warn({ tenant, destination, ...(waiting !== undefined && { waiting }) }, line)
    } else if (breaker.kind === "closed" && since !== undefined) {
      this.#down.delete(lane)
      const seconds = Math.round((this.#clock.steady() - since) / 1_000)
      const waiting = await this.#queue.depth(lane).catch(() => undefined)
      const fields = { tenant, destination, seconds, ...(waiting !== undefined && { waiting }) }
      this.#log.info(fields, `destination ${destination} is tried as ever again: ${why}`)
    }
  }

  /** The destination was deleted. */
  deleted(lane: string): void {
    this.#over(lane, "was deleted")
  }

  /** The lane is let go: whoever has it next begins anew. */
  released(lane: string): void {
    this.#over(lane, "is asked no more: nothing waits for it")
  }

  /** It was down; whether it still is, nobody finds out. */
  #over(lane: string, how: string): void {
    if (!this.#down.delete(lane)) return
    const { tenant, destination } = partsOfLane(lane)
    this.#log.info({ tenant, destination }, `destination ${destination}, which was down, ${how}`)
  }

  paused(of: Pick<Delivery, "tenant" | "trigger" | "destination">, reason: string): void {
    tellPaused(this.#log, of, reason)
  }

  dead({ id, tenant, trigger, destination, reason, attempts, lastOutcome }: DeadLetter): void {
    // Of which more is said where it is found.
    if (reason === "damaged") return
    const of = { tenant, trigger, reason }
    this.#minutes.met(`${tenant}/${trigger} ${reason}`, {
      first: () => {
        const line = `a delivery became a dead letter (${reason}): ${lastOutcome.detail}`
        this.#log.warn({ ...of, destination, delivery: id, attempts }, line)
      },
      more: (count) => this.#log.warn({ ...of, count }, `more dead letters of the trigger since (${reason}): ${count}`),
    })
  }

  /** A delivery's event is not as it was stored. */
  damaged({ id, tenant, trigger }: Delivery, detail: string): void {
    this.#minutes.met(`${tenant}/${trigger} event`, {
      first: () => this.#log.error({ tenant, trigger, delivery: id, detail }, "a delivery's event is damaged"),
      more: (count) => this.#log.error({ tenant, trigger, count }, `more deliveries of damaged events since: ${count}`),
    })
  }

  leased({ delivery: { id, tenant, destination }, attempt }: Lease): void {
    this.#log.debug?.({ tenant, destination, delivery: id }, `leased for attempt ${attempt}`)
  }

  concluded(
    { id, tenant, destination }: Delivery,
    { number, outcome, durationMs }: Attempt,
    verdict: ToldVerdict,
  ): void {
    if (this.#log.debug === undefined) return
    const next =
      verdict.kind === "retry" ? ` in ${verdict.delayMs} ms` : verdict.kind === "dead" ? ` (${verdict.reason})` : ""
    const line = `attempt ${number}: ${outcome.detail} → ${verdict.kind}${next}`
    this.#log.debug({ tenant, destination, delivery: id, durationMs }, line)
  }

  /** Nothing was sent: `how` says what became of it instead. */
  unsent({ id, tenant, destination }: Delivery, how: string): void {
    this.#log.debug?.({ tenant, destination, delivery: id }, `nothing is sent: ${how}`)
  }

  /** Tells of those that no line has told of yet. */
  close(): void {
    this.#minutes.close()
  }
}
