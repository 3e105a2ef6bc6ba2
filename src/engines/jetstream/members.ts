import type { Clock } from "../../core/clock.ts"
import type { Logger } from "../../core/logger.ts"
import type { Bucket, EntryChange } from "./bucket.ts"

/** How long what lasts; each in milliseconds. */
export interface ShareTimes {
  /** Between two signs of life. */
  readonly beatMs: number
  /** Without one confirmed for so long, a process gives up all that it has: it will not see what others take over. */
  readonly giveUpMs: number
}

export const shareTimes: ShareTimes = { beatMs: 1_000, giveUpMs: 10_000 }

/**
 * Others take over what a process has when so many signs of life of their own were confirmed since its last one. Where nobody's
 * are, because NATS stores nothing at the moment, time stands still, and nobody is dead for it.
 */
const deadBeats = 4

export interface MembersOptions {
  readonly bucket: Bucket
  readonly clock: Clock
  readonly log: Logger
  /** This process; nobody else's. */
  readonly id: string
  readonly times: ShareTimes
}

interface Seen {
  readonly kinds: readonly string[]
  readonly revision: number
  /** How many signs of life of this process had been confirmed when it was seen. */
  readonly beat: number
}

const prefix = "member/"
/** Dead ones are forgotten after so many. */
const forgottenBeats = 60

/** The processes that take shares, as they show that they live. */
export class Members {
  readonly #options: MembersOptions
  readonly #seen = new Map<string, Seen>()
  readonly #unlisten: () => void
  #confirmedAt = Number.NEGATIVE_INFINITY
  #confirmed = 0
  #beating = false
  #beats = 0
  #gone = false

  constructor(options: MembersOptions) {
    this.#options = options
    for (const entry of options.bucket.range(prefix, prefix)) this.#see(entry)
    this.#unlisten = options.bucket.listen((change) => this.#see(change))
  }

  /** Whether others are to believe that this process lives. */
  get isAlive(): boolean {
    const { clock, times } = this.#options
    return clock.now() - this.#confirmedAt < times.giveUpMs
  }

  /** Shows that this process lives, and what kinds of shares it takes; one at a time. */
  async beat(kinds: readonly string[]): Promise<void> {
    if (this.#beating || this.#gone) return
    this.#beating = true
    const { bucket, clock, log, id, times } = this.#options
    const at = clock.now()
    try {
      await bucket.put(`${prefix}${id}`, JSON.stringify({ kinds, beat: this.#beats++ }), undefined, times.giveUpMs)
      this.#confirmedAt = at
      this.#confirmed++
    } catch (error) {
      log.warn({ err: error }, "NATS does not take this process's sign of life")
    } finally {
      this.#beating = false
    }
  }

  /** Living processes that take this kind, this one with them, in an order that all agree on. */
  of(kind: string): readonly string[] {
    const { id } = this.#options
    const others = [...this.#seen].filter(
      ([name, seen]) => name !== id && seen.kinds.includes(kind) && this.#livesOn(seen),
    )
    return [id, ...others.map(([name]) => name)].sort()
  }

  /** Whether it may be taken over from: it has shown nothing for long, and the servers know of nothing newer. */
  async isDead(id: string): Promise<boolean> {
    const seen = this.#seen.get(id)
    if (seen !== undefined && this.#livesOn(seen)) return false
    return (await this.#options.bucket.revisionOf(`${prefix}${id}`)) === (seen?.revision ?? 0)
  }

  /** Forgets those who have been dead for long. */
  async forget(): Promise<void> {
    const { bucket } = this.#options
    for (const [id, seen] of this.#seen) {
      if (this.#confirmed - seen.beat < forgottenBeats) continue
      await bucket.delete(`${prefix}${id}`, seen.revision).catch(() => {})
    }
  }

  /** Says good-bye: what this process has left is free at once. */
  async leave(): Promise<void> {
    this.#gone = true
    this.#unlisten()
    const { bucket, id } = this.#options
    await bucket.delete(`${prefix}${id}`).catch(() => {})
  }

  #livesOn({ beat }: Seen): boolean {
    return this.#confirmed - beat < deadBeats
  }

  #see({ key, text, revision }: EntryChange): void {
    if (!key.startsWith(prefix)) return
    const id = key.slice(prefix.length)
    if (text === undefined) this.#seen.delete(id)
    else {
      const { kinds } = JSON.parse(text) as { readonly kinds: readonly string[] }
      this.#seen.set(id, { kinds, revision, beat: this.#confirmed })
    }
  }
}
