import type { Logger } from "./logger.ts"

/** Something that an operator should know while it lasts. */
export interface Condition {
  /** Which it is, where `line` tells more than that; default: the line. */
  readonly key?: string
  /** Told when it begins. */
  readonly line: string
  /** Told when it is over. */
  readonly over: string
}

/** Tells the log of what goes wrong and is tried again: once when it begins, and once when it works again. */
export class Troubles {
  readonly #log: Logger
  /** How often each was met. */
  readonly #met = new Map<string, number>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** `what` has failed: `line` is told of the first time. */
  met(what: string, line: string, fields: object): void {
    const times = this.#met.get(what) ?? 0
    this.#met.set(what, times + 1)
    if (times === 0) this.#log.warn(fields, line)
  }

  /** `what` works; told where it had failed. */
  over(what: string): void {
    if (this.#met.size === 0) return
    const failures = this.#met.get(what)
    if (failures === undefined) return
    this.#met.delete(what)
    this.#log.info({ failures }, `${what} works again`)
  }

  /** `what` is nobody's concern any more. */
  forget(what: string): void {
    this.#met.delete(what)
  }
}

/** Tells the log of conditions, as they are seen now and then: each once when it begins, and once when it is over. */
export class Conditions {
  readonly #log: Logger
  #last: ReadonlyMap<string, Condition> = new Map()

  constructor(log: Logger) {
    this.#log = log
  }

  /** What is so now. */
  see(now: readonly Condition[]): void {
    const seen = new Map(now.map((condition) => [condition.key ?? condition.line, condition]))
    for (const [key, { over }] of this.#last) if (!seen.has(key)) this.#log.info({}, over)
    for (const [key, { line }] of seen) if (!this.#last.has(key)) this.#log.warn({}, line)
    this.#last = seen
  }
}
