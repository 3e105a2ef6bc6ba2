import { type Delivery, deliveryId, type TriggerName } from "../core/delivery.ts"
import type { DeliveryQueue } from "../core/queue.ts"
import type { Directory } from "./directory.ts"

/** Moves what was left behind by triggers that moved with their backlog: of one trigger once, however many ask meanwhile. */
export class Backlog {
  readonly #queue: Pick<DeliveryQueue, "move">
  readonly #directory: Pick<Directory, "trigger">
  readonly #running = new Map<string, Promise<void>>()
  readonly #waiting = new Map<string, Promise<void>>()

  constructor(queue: Pick<DeliveryQueue, "move">, directory: Pick<Directory, "trigger">) {
    this.#queue = queue
    this.#directory = directory
  }

  /** Resolves when a moving that began after this call is over. Rejects where the engine failed. */
  move(of: TriggerName): Promise<void> {
    const path = `${of.tenant}/${deliveryId("" as Delivery["cursor"], of.trigger, of.incarnation)}`
    const waiting = this.#waiting.get(path)
    if (waiting) return waiting
    const running = this.#running.get(path)
    if (!running) return this.#begin(path, of)
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#waiting.delete(path)
        return this.#begin(path, of)
      })
    this.#waiting.set(path, next)
    return next
  }

  #begin(path: string, of: TriggerName): Promise<void> {
    const running = this.#move(of).finally(() => this.#running.delete(path))
    this.#running.set(path, running)
    return running
  }

  async #move(of: TriggerName): Promise<void> {
    const trigger = await this.#directory.trigger(of)
    if (trigger?.backlog === "move") await this.#queue.move(of, trigger.destination)
  }
}
