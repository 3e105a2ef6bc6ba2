import { nuid } from "@nats-io/nats-core"
import type { Assignment, Assignments } from "../../core/assignments.ts"
import type { Clock } from "../../core/clock.ts"
import { sleep } from "../../core/clock.ts"
import type { Logger } from "../../core/logger.ts"
import { Troubles } from "../../core/troubles.ts"
import type { Bucket, Entry, EntryChange } from "./bucket.ts"
import { Membership, type MembershipTimes, membershipTimes } from "./membership.ts"
import { stableHash } from "./names.ts"

export interface AssignmentsOptions {
  readonly bucket: Bucket
  readonly clock: Clock
  readonly log: Logger
  readonly times?: MembershipTimes
  /** Takes only what nobody else that lives does. Default: no. */
  readonly yields?: boolean
}

export interface JetStreamAssignments extends Assignments {
  /** Gives all up; resolves when others can have it. The bucket is not closed. */
  close(): Promise<void>
}

/**
 * Assignments as entries of a bucket, each with its holder. All processes see the same living ones, and so agree on who is to have
 * what: who has too much gives it up, who lacks something takes it when it is free or its holder dead. Taking is a write that
 * expects the entry as it was seen, so that only one succeeds; the entry's revision is the epoch.
 *
 * That nobody else works on an assignment is not what this promises, only what it makes probable: clocks may stand still. What
 * must not be done twice is fenced by the epoch.
 */
export function openAssignments(options: AssignmentsOptions): JetStreamAssignments {
  return new BucketAssignments(options)
}

/** A kind that this process takes assignments of. */
interface Taking {
  readonly count: number
  readonly given: HeldAssignment[]
  wake: () => void
}

const prefix = "share/"
const nobody = ""
const balancing = "seeing to the assignments of work"

class BucketAssignments implements JetStreamAssignments {
  readonly #options: AssignmentsOptions
  readonly #times: MembershipTimes
  readonly #id = nuid.next()
  readonly #membership: Membership
  readonly #takings = new Map<string, Taking>()
  readonly #held = new Map<string, HeldAssignment>()
  readonly #stop = new AbortController()
  readonly #unlisten: () => void
  readonly #done: Promise<void>
  #wake = new AbortController()

  constructor(options: AssignmentsOptions) {
    this.#options = options
    this.#times = options.times ?? membershipTimes
    this.#membership = new Membership({ ...options, id: this.#id, times: this.#times })
    this.#unlisten = options.bucket.listen((change) => this.#see(change))
    this.#done = this.#run()
  }

  async *take(kind: string, count: number, stop: AbortSignal): AsyncGenerator<Assignment> {
    if (this.#takings.has(kind)) throw new TypeError(`assignments of ${kind} are being taken already`)
    const taking: Taking = { count, given: [], wake: () => {} }
    const wake = () => taking.wake()
    this.#takings.set(kind, taking)
    stop.addEventListener("abort", wake)
    this.#wake.abort()
    try {
      while (!stop.aborted && !this.#stop.signal.aborted) {
        const assignment = taking.given.shift()
        if (assignment === undefined) await new Promise<void>((resolve) => (taking.wake = resolve))
        else if (assignment.lost.aborted) await assignment.release()
        else yield assignment
      }
    } finally {
      stop.removeEventListener("abort", wake)
      this.#takings.delete(kind)
      for (const assignment of taking.given) await assignment.release()
      this.#wake.abort()
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    for (const { wake } of this.#takings.values()) wake()
    for (const assignment of this.#held.values()) assignment.lose()
    await this.#done
    this.#unlisten()
    await Promise.all([...this.#held.values()].map((assignment) => assignment.release()))
    await this.#membership.leave()
  }

  /** Shows that it lives, watches whether it is believed, and sees to the assignments. */
  async #run(): Promise<void> {
    const { clock, log } = this.#options
    const troubles = new Troubles(log)
    while (!this.#stop.signal.aborted) {
      const beat = this.#takings.size > 0 ? this.#membership.beat([...this.#takings.keys()]) : undefined
      await Promise.race([beat, sleep(clock, this.#times.beatMs, this.#stop.signal)])
      if (this.#membership.isAlive) {
        await this.#balance().then(
          () => troubles.over(balancing),
          (error) =>
            troubles.met(balancing, "assignments of work cannot be seen to at present", { why: String(error) }),
        )
      } else {
        for (const assignment of this.#held.values()) assignment.lose()
      }
      await this.#pause()
    }
  }

  /** Until the next sign of life is due, or something is new; looks meanwhile whether this process is still believed. */
  async #pause(): Promise<void> {
    this.#wake = new AbortController()
    const wake = AbortSignal.any([this.#wake.signal, this.#stop.signal])
    await sleep(this.#options.clock, this.#times.beatMs / 2, wake)
    if (this.#stop.signal.aborted || this.#membership.isAlive) return
    for (const assignment of this.#held.values()) assignment.lose()
  }

  async #balance(): Promise<void> {
    await this.#membership.forget()
    for (const [kind, { count }] of this.#takings) {
      const living = this.#membership.of(kind)
      const shift = stableHash(kind) % living.length
      for (let number = 0; number < count; number++) {
        const mine = living[(number + shift) % living.length] === this.#id
        const held = this.#held.get(nameOf(kind, number))
        if (held !== undefined && !mine) held.lose()
        if (held === undefined) await this.#seeTo(kind, number, mine)
      }
    }
  }

  /** Takes an assignment that is to be this process's, if it is free; frees one whose release was cut off. */
  async #seeTo(kind: string, number: number, mine: boolean): Promise<void> {
    const entry = this.#options.bucket.get(`${prefix}${nameOf(kind, number)}`)
    const holder = entry === undefined ? nobody : holderOf(entry)
    if (holder === this.#id && !mine) return this.#free(nameOf(kind, number), entry!.revision)
    if (!mine || !(holder === nobody || holder === this.#id || (await this.#membership.isDead(holder)))) return
    const epoch = await this.#write(nameOf(kind, number), this.#id, entry?.revision ?? 0)
    if (epoch === undefined) return
    const assignment = new HeldAssignment(kind, number, epoch, () => this.#release(nameOf(kind, number), epoch))
    this.#held.set(nameOf(kind, number), assignment)
    const taking = this.#takings.get(kind)
    if (taking === undefined) return assignment.release()
    taking.given.push(assignment)
    taking.wake()
  }

  async #release(name: string, epoch: number): Promise<void> {
    this.#held.delete(name)
    await this.#free(name, epoch)
  }

  async #free(name: string, revision: number): Promise<void> {
    await this.#write(name, nobody, revision)
  }

  /** Undefined where it cannot be: another was first, or NATS does not answer. */
  async #write(name: string, holder: string, expected: number): Promise<number | undefined> {
    const { bucket } = this.#options
    try {
      return await bucket.put(`${prefix}${name}`, JSON.stringify({ holder }), expected, this.#times.giveUpMs)
    } catch {
      return undefined
    }
  }

  #see({ key, text, revision }: EntryChange): void {
    if (!key.startsWith(prefix)) return
    const held = this.#held.get(key.slice(prefix.length))
    if (held !== undefined && revision > held.epoch) held.lose()
    if (text === undefined || holderOf({ key, text, revision }) === nobody) this.#wake.abort()
  }
}

class HeldAssignment implements Assignment {
  readonly kind: string
  readonly number: number
  readonly epoch: number
  readonly #lost = new AbortController()
  readonly #free: () => Promise<void>
  #released: Promise<void> | undefined

  constructor(kind: string, number: number, epoch: number, free: () => Promise<void>) {
    this.kind = kind
    this.number = number
    this.epoch = epoch
    this.#free = free
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  lose(): void {
    this.#lost.abort()
  }

  release(): Promise<void> {
    this.lose()
    this.#released ??= this.#free()
    return this.#released
  }
}

function nameOf(kind: string, number: number): string {
  return `${kind}/${number}`
}

function holderOf({ text }: Entry): string {
  return (JSON.parse(text) as { readonly holder: string }).holder
}
