import type { Logger } from "./core/logger.ts"

/** A part of a hub that works by itself until it is stopped. */
export interface Loop {
  readonly name: string
  /** Rejects where it ended though nobody stopped it. */
  readonly done: Promise<void>
  /** Resolves when it works no more. */
  stop(): Promise<void>
}

/** The loops of one hub, in the order in which they were started. */
export class Loops {
  readonly #log: Logger
  readonly #running: Loop[] = []
  readonly #failures = new Set<string>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** Answers what it was given. */
  add<One extends Omit<Loop, "name">>(name: string, loop: One): One {
    this.#running.push({ name, done: loop.done, stop: () => loop.stop() })
    loop.done.catch((error: unknown) => {
      this.#failures.add(`${name} has stopped: ${String(error)}`)
      this.#log.error({ err: error }, `${name} has stopped; restart the hub`)
    })
    return loop
  }

  get running(): readonly Loop[] {
    return this.#running
  }

  /** What ended though nobody stopped it, and why. */
  get failures(): readonly string[] {
    return [...this.#failures]
  }

  /** Stops them one after another, the last one first; one that fails keeps none of the others from it. Rejects with what did. */
  async stop(): Promise<void> {
    const failures: unknown[] = []
    for (const loop of this.#running.splice(0).reverse()) await loop.stop().catch((error) => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }
}
