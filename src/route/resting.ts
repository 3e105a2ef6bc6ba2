import type { Logger } from "../core/logger.ts"
import type { Trigger } from "../core/resources.ts"

/** A trigger that cannot be matched. It loses nothing: once it is put right, it goes on where it was. */
export interface Resting {
  readonly tenant: string
  readonly id: string
  /** What is wrong with it, for people. */
  readonly reason: string
}

/** The triggers that rest, by path. The log has a line when one begins to, and when it goes on. */
export class RestingTriggers {
  readonly #all = new Map<string, Resting>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  list(): readonly Resting[] {
    return [...this.#all.values()]
  }

  /** It cannot be matched. */
  rests(path: string, { tenant, id }: Trigger, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    if (this.#all.get(path)?.reason === reason) return
    this.#all.set(path, { tenant, id, reason })
    this.#log.error({ tenant, trigger: id, reason }, "the trigger rests, for it cannot be matched; update or delete it")
  }

  /** It can be matched. */
  goesOn(path: string): void {
    const resting = this.#all.get(path)
    if (!this.#all.delete(path)) return
    this.#log.info({ tenant: resting!.tenant, trigger: resting!.id }, "the trigger rests no more")
  }

  /** It is paused or deleted, so that nobody asks. */
  forget(path: string): void {
    this.#all.delete(path)
  }
}
