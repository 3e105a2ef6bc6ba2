import type { Logger } from "../../../core/logger.ts"

const linesMax = 100

/** What was read and did not check. */
export class Damages {
  readonly #log: Logger
  readonly #lines = new Map<string, string>()

  constructor(log: Logger) {
    this.#log = log
  }

  get lines(): Iterable<string> {
    return this.#lines.values()
  }

  get count(): number {
    return this.#lines.size
  }

  add(stream: string, sequence: number, reason: string): void {
    const where = `${stream}/${sequence}`
    if (this.#lines.has(where) || this.#lines.size >= linesMax) return
    this.#lines.set(where, `damaged: sequence ${sequence} of the stream ${stream} cannot be read: ${reason}`)
    this.#log.error({ stream, sequence, reason }, "a stored event is damaged; reading goes on after it")
  }
}
