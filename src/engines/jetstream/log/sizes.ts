import type { Clock } from "../../../core/clock.ts"
import { ClosedError, UnavailableError } from "../../../core/errors.ts"
import type { LogStream, StreamState } from "./stream.ts"

const freshMs = 5_000

/** What the streams hold, as they said a little while ago: asking anew begins when somebody looks, and is not waited for. */
export class Sizes {
  readonly #streams: readonly LogStream[]
  readonly #clock: Clock
  #states: readonly StreamState[] = []
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(streams: readonly LogStream[], clock: Clock) {
    this.#streams = streams
    this.#clock = clock
  }

  /** Events and bytes of all partitions; zeros until the streams have answered once. */
  get now(): { readonly events: number; readonly bytes: number } {
    if (this.#clock.steady() - this.#askedAt >= freshMs) void this.#ask()
    return {
      events: this.#states.reduce((sum, { messages }) => sum + messages, 0),
      bytes: this.#states.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  async #ask(): Promise<void> {
    this.#askedAt = this.#clock.steady()
    try {
      this.#states = await Promise.all(this.#streams.map((stream) => stream.state()))
    } catch (error) {
      // The last figures stand until NATS answers again.
      if (!(error instanceof UnavailableError || error instanceof ClosedError)) throw error
    }
  }
}
