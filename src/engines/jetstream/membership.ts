import type { Clock } from "../../core/clock.ts"
import type { Logger } from "../../core/logger.ts"
import { Troubles } from "../../core/troubles.ts"
import type { Bucket, EntryChange } from "./bucket.ts"

/** How long what lasts; each in milliseconds. */
export interface MembershipTimes {
  /** Between two signs of life. */
  readonly beatMs: number
  /** Without one confirmed for so long, a process gives up all that it has: it will not see what others take over. */
  readonly giveUpMs: number
}

export const membershipTimes: MembershipTimes = { beatMs: 1_000, giveUpMs: 10_000 }

/**
 * Others take over what a process has when so many signs of life of their own were confirmed since its last one. Where nobody's
 * are, because NATS stores nothing at the moment, time stands still, and nobody is dead for it.
 */
const deadBeats = 4

export interface MembershipOptions {
  readonly bucket: Bucket
  readonly clock: Clock
  readonly log: Logger
  /** This process; nobody else's. */
  readonly id: string
  readonly times: MembershipTimes
  /** Takes only what nobody else that lives does. Default: no. */
  readonly yields?: boolean
}

interface Seen {
  readonly kinds: readonly string[]
  readonly yields: boolean
  readonly revision: number
  /** How many signs of life of this process had been confirmed when it was seen. */
  readonly beat: number
}

const prefix = "member/"
const beating = "showing NATS that this process lives"
/** Dead ones are forgotten after so many. */
const forgottenBeats = 60

/** The processes that take assignments, as they show that they live. */
export class Membership {
  readonly #options: MembershipOptions
  readonly #seen = new Map<string, Seen>()
  readonly #unlisten: () => void
  #confirmedAt = Number.NEGATIVE_INFINITY
  #confirmed = 0
  #beating = false
  #beats = 0
  readonly #troubles: Troubles
  #gone = false

  constructor(options: MembershipOptions) {
    this.#troubles = new Troubles(options.log)
    this.#options = options
    for (const entry of options.bucket.range(prefix, prefix)) this.#see(entry)
    this.#unlisten = options.bucket.listen((change) => this.#see(change))
  }

  /** Whether others are to believe that this process lives. */
  get isAlive(): boolean {
    const { clock, times } = this.#options
    return clock.steady() - this.#confirmedAt < times.giveUpMs
  }

  /** Shows that this process lives, and what kinds of assignments it takes; one at a time. */
  async beat(kinds: readonly string[]): Promise<void> {
    if (this.#beating || this.#gone) return
    this.#beating = true
    const { bucket, clock, id, times, yields } = this.#options
    const at = clock.steady()
    const sign = { kinds, beat: this.#beats++, ...(yields && { yields }) }
    try {
      await bucket.put(`${prefix}${id}`, JSON.stringify(sign), undefined, times.giveUpMs)
      this.#confirmedAt = at
      this.#confirmed++
      this.#troubles.over(beating)
    } catch (error) {
      this.#troubles.met(beating, "NATS does not take this process's sign of life", { err: error })
    } finally {
      this.#beating = false
    }
  }

  /**
   * Living processes that are to have assignments of this kind, which this one takes too, in an order that all agree on: those that
   * yield only where all do.
   */
  of(kind: string): readonly string[] {
    const { id, yields = false } = this.#options
    const others = [...this.#seen].filter(
      ([name, seen]) => name !== id && seen.kinds.includes(kind) && this.#livesOn(seen),
    )
    const living = [{ name: id, yields }, ...others.map(([name, seen]) => ({ name, yields: seen.yields }))]
    const firm = living.filter((each) => !each.yields)
    return (firm.length > 0 ? firm : living).map(({ name }) => name).sort()
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
      const { kinds, yields = false } = JSON.parse(text) as Pick<Seen, "kinds"> & Partial<Pick<Seen, "yields">>
      this.#seen.set(id, { kinds, yields, revision, beat: this.#confirmed })
    }
  }
}
