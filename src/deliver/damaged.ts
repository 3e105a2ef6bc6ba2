import type { Clock } from "../core/clock.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Logger } from "../core/logger.ts"

const restMs = 60_000

interface Resting {
  readonly of: Pick<Delivery, "tenant" | "trigger">
  /** Those that no line has told of. */
  count: number
  readonly cancel: () => void
}

/** Says which triggers' deliveries are of damaged events: a line for each trigger and minute at most, with their number. */
export class DamagedDeliveries {
  readonly #clock: Clock
  readonly #log: Logger
  /** The triggers that a line told of within the last minute. */
  readonly #resting = new Map<string, Resting>()

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  found({ id, tenant, trigger }: Delivery, detail: string): void {
    const key = `${tenant}/${trigger}`
    const resting = this.#resting.get(key)
    if (resting !== undefined) {
      resting.count++
      return
    }
    this.#log.error({ tenant, trigger, delivery: id, detail }, "a delivery's event is damaged")
    this.#rest(key, { tenant, trigger })
  }

  /** Tells of those that no line has told of yet. */
  close(): void {
    for (const resting of this.#resting.values()) {
      resting.cancel()
      this.#tell(resting)
    }
    this.#resting.clear()
  }

  #rest(key: string, of: Resting["of"]): void {
    const cancel = this.#clock.after(restMs, () => {
      const resting = this.#resting.get(key)!
      this.#resting.delete(key)
      if (this.#tell(resting)) this.#rest(key, of)
    })
    this.#resting.set(key, { of, count: 0, cancel })
  }

  #tell({ of, count }: Resting): boolean {
    if (count > 0) this.#log.error({ ...of, count }, `more deliveries of damaged events since: ${count}`)
    return count > 0
  }
}
