import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Assignment, Assignments } from "../../../core/assignments.ts"
import { type Clock, sleep } from "../../../core/clock.ts"
import type { Logger } from "../../../core/logger.ts"
import type { Names } from "../names.ts"
import { isUnanswered, Journal, JournalLostError } from "./journal.ts"
import { Shard, type ShardCalls } from "./shard.ts"
import { takeOver } from "./takeover.ts"

export interface ShardHolderOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly shards: number
  readonly assignments: Assignments
  /** For the rows of the shards that this process holds. */
  readonly directory: string
  readonly pendingBytesMax: number
  readonly recordBytesMax: number
  readonly compactBytesMin: number
  readonly clock: Clock
  readonly log: Logger
  /** What shard has a lane; undefined: `number` has it. */
  shardOf(number: number, lane: string): ShardCalls | undefined
  /** A shard can be asked here from now on. */
  taken(number: number, shard: Shard): void
  /** Leases are not to be given of it any more; what is leased can still be ended. */
  leaving(number: number): void
  /** It cannot be asked here any more. */
  left(number: number, shard: Shard): void
}

/** How long leases may take to end when a shard is to be given up. */
const leaveMsMax = 2_000
const lookMs = 50
const againAfterMs = 1_000
/** How long closing waits for the journal to take what was asked for. */
const closeMsMax = 3_000

/** Holds the shards whose assignments this process is given. */
export class ShardHolder {
  readonly #options: ShardHolderOptions
  readonly #stop = new AbortController()
  readonly #serving = new Set<Promise<void>>()
  readonly #troubles = new Map<Assignment, string>()
  readonly #journals = new Map<Assignment, Journal>()
  readonly #taking: Promise<void>

  constructor(options: ShardHolderOptions) {
    this.#options = options
    this.#taking = this.#take().catch((error: unknown) => {
      options.log.error({ err: error }, "no assignments of the queue are taken any more: this is a bug")
    })
  }

  /** What keeps shards from being served here, one line each. */
  health(): readonly string[] {
    const lines = [...this.#troubles].map(([{ number }, why]) => `queue shard ${number} cannot be opened: ${why}`)
    for (const [{ number }, { trouble }] of this.#journals) {
      if (trouble !== undefined) lines.push(`the journal of queue shard ${number} takes nothing at present: ${trouble}`)
    }
    return lines
  }

  /** Gives all assignments back; resolves when what was asked for is in the journals. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#taking
    await Promise.all(this.#serving)
  }

  async #take(): Promise<void> {
    const { assignments, shards } = this.#options
    for await (const assignment of assignments.take("queue", shards, this.#stop.signal)) {
      const serving = this.#serve(assignment).finally(() => this.#serving.delete(serving))
      this.#serving.add(serving)
    }
  }

  async #serve(assignment: Assignment): Promise<void> {
    const over = AbortSignal.any([assignment.lost, this.#stop.signal])
    const { clock, log } = this.#options
    for (let tries = 0, isOurs = true; isOurs && !over.aborted; tries++) {
      try {
        isOurs = await this.#hold(assignment, tries, over)
      } catch (error) {
        if (!over.aborted) {
          // That NATS does not answer is told where the hub's health is.
          const isNew = !isUnanswered(error) && !this.#troubles.has(assignment)
          if (isNew)
            log.error({ err: error, shard: assignment.number }, "a queue shard cannot be taken over; it is tried again")
          this.#troubles.set(assignment, error instanceof Error ? error.message : String(error))
        }
      }
      this.#journals.delete(assignment)
      if (isOurs && !over.aborted) await sleep(clock, againAfterMs, over)
    }
    this.#troubles.delete(assignment)
    await assignment.release().catch((error: unknown) => {
      log.warn(
        { err: error, shard: assignment.number },
        "an assignment of a queue shard cannot be given back; it lapses",
      )
    })
  }

  /**
   * Takes the shard over, and lets it go again when it is wanted back, or somebody else writes to it. Answers false where
   * the assignment has had a later holder.
   */
  async #hold(assignment: Assignment, tries: number, over: AbortSignal): Promise<boolean> {
    const directory = join(this.#options.directory, `queue-${assignment.number}-${assignment.epoch}-${tries}`)
    try {
      const shard = await this.#open(assignment, directory, over)
      if (shard !== undefined) await this.#serveOpened(assignment, shard, over)
      return shard !== undefined
    } catch (error) {
      if (error instanceof JournalLostError) return true
      throw error
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }

  async #open(assignment: Assignment, directory: string, over: AbortSignal): Promise<Shard | undefined> {
    const { nats, names, clock, pendingBytesMax, recordBytesMax, compactBytesMin } = this.#options
    const { number, epoch } = assignment
    const stream = names.queueStream(number)
    const journal = new Journal({ nats, clock, stream, subject: names.queueSubject(number) })
    this.#journals.set(assignment, journal)
    const giveUp = () => journal.leave()
    over.addEventListener("abort", giveUp)
    try {
      const takeover = await takeOver({ journal, clock, epoch, directory, stream })
      const limits = { pendingBytesMax, recordBytesMax, compactBytesMin }
      const shardOf = (lane: string) => this.#options.shardOf(number, lane)
      return takeover && (await Shard.open({ ...takeover, ...limits, number, journal, clock, shardOf }))
    } finally {
      over.removeEventListener("abort", giveUp)
    }
  }

  async #serveOpened(assignment: Assignment, shard: Shard, over: AbortSignal): Promise<void> {
    const { number, epoch } = assignment
    const { log, taken, left } = this.#options
    log.info({ shard: number, epoch, ...shard.figures() }, "a queue shard is held here")
    this.#troubles.delete(assignment)
    taken(number, shard)
    try {
      await aborted(AbortSignal.any([over, shard.lost]))
      if (shard.lost.aborted) log.warn({ err: shard.lost.reason, shard: number }, "a queue shard is lost")
      else if (!this.#stop.signal.aborted) await this.#leave(number, shard)
    } finally {
      left(number, shard)
      await this.#close(shard)
    }
  }

  /** Lets leases end for a while: they are done then, and need not be given again by whoever has the shard next. */
  async #leave(number: number, shard: Shard): Promise<void> {
    const { clock, leaving } = this.#options
    leaving(number)
    const until = clock.steady() + leaveMsMax
    while (!shard.lost.aborted && shard.queue.figures().leases !== 0 && clock.steady() < until) {
      await sleep(clock, lookMs, shard.lost)
    }
  }

  async #close(shard: Shard): Promise<void> {
    const { clock } = this.#options
    if (shard.lost.aborted) return shard.abandon()
    const closing = new AbortController()
    const closed = shard.close().finally(() => closing.abort())
    await sleep(clock, closeMsMax, closing.signal)
    if (!closing.signal.aborted) await shard.abandon()
    await closed
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve(), { once: true })
  })
}
