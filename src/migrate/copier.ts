import type { Address } from "../core/address.ts"
import { isReservedTopic } from "../core/address.ts"
import { type Clock, sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { OverloadError, StorageError } from "../core/errors.ts"
import type { Event } from "../core/event.ts"
import type { Appended } from "../core/log.ts"
import type { CursorMap } from "./cursor-map.ts"
import type { Ledger } from "./ledger.ts"
import { MergedReader, type Read } from "./merged.ts"
import { MigrationStoppedError } from "./refusal.ts"
import { readTail, stepEvents, type Tail } from "./tail.ts"
import type { Translator } from "./translator.ts"

export interface CopierOptions {
  readonly source: Engine
  readonly target: Engine
  readonly ledger: Ledger
  readonly map: CursorMap
  readonly translator: Translator
  readonly clock: Clock
  readonly stop: AbortSignal
  /** How many events are copied, of all the runs together. */
  tell(events: number): void
}

const stepBytes = 4 << 20
/** Events of one append at most. */
const runEvents = 500
const runBytes = 256 << 10
/** What is on its way at once: well within what any engine lets wait, as a refusal in the middle could change the order. */
const flyingEvents = 1_000
const flyingBytes = 512 << 10
/** How long the target may take nothing before the copying is given up. */
const failingMsMax = 120_000
const pauseMs = 1_000

/** Events that are on their way to the target, by one append. */
interface Run {
  readonly address: Address
  readonly storedAt: number
  readonly target: number
  readonly events: Event[]
  readonly reads: Read[]
  bytes: number
}

interface Flight {
  readonly run: Run
  readonly appended: Promise<readonly Appended[]>
}

/**
 * Copies all events, in the order of their being stored. Each step ends in the ledger; what a step had copied when it was
 * cut off is found at the end of the target's log by the next one. So no event is copied twice, and none is left out.
 */
export async function copyEvents(options: CopierOptions): Promise<void> {
  let failingSince: number | undefined
  let before = -1
  // Ends: after failingMsMax without progress.
  for (;;) {
    try {
      await new Pass(options).run()
      return
    } catch (error) {
      if (!(error instanceof OverloadError || error instanceof StorageError)) throw error
      const { events } = options.ledger.progress
      const now = options.clock.steady()
      if (events > before || failingSince === undefined) failingSince = now
      if (now - failingSince > failingMsMax) throw error
      before = events
      await sleep(options.clock, error instanceof OverloadError ? error.retryAfterMs : pauseMs, options.stop)
      if (options.stop.aborted) throw new MigrationStoppedError()
    }
  }
}

/** From what the ledger says to the end, or to the first failure. */
class Pass {
  readonly #options: CopierOptions
  readonly #reader: MergedReader
  #events: number
  readonly #ends: Record<number, Cursor>
  readonly #storedAt: Record<number, number>
  #tail: Tail | undefined
  #run: Run | undefined
  #flights: Flight[] = []
  /** The source's cursors of what is in the run or in flight. */
  readonly #pending = new Set<Cursor>()
  #flyingBytes = 0
  #raised: (readonly [Cursor, number])[] = []
  #stepEvents = 0
  #stepBytes = 0

  constructor(options: CopierOptions) {
    this.#options = options
    const { events, positions, ends, storedAt } = options.ledger.progress
    this.#events = events
    this.#ends = { ...ends }
    this.#storedAt = { ...storedAt }
    this.#reader = new MergedReader(options.source.log, positions)
    options.map.take()
  }

  async run(): Promise<void> {
    const { target, stop } = this.#options
    try {
      this.#tail = await readTail(target.log, this.#ends)
      // Ends: with the source, as the ledger knows its end.
      for (let read = await this.#reader.next(); read !== undefined; read = await this.#reader.next()) {
        await this.#put(read)
        if (this.#stepEvents >= stepEvents || this.#stepBytes >= stepBytes) await this.#endStep()
        if (stop.aborted) throw new MigrationStoppedError()
      }
      await this.#endStep()
      this.#tail.close()
    } finally {
      await Promise.allSettled(this.#flights.map(({ appended }) => appended))
      await this.#reader.close()
    }
  }

  async #put(read: Read): Promise<void> {
    const { stored } = read
    const { target, translator } = this.#options
    if (isReservedTopic(stored.address.topic)) await this.#awaitSubject(stored.address.key as Cursor | undefined)
    const { address, event } = translator.record(stored)
    const partition = target.log.partitionOf(address)
    this.#stepEvents++
    this.#stepBytes += eventBytes(event)
    const found = this.#tail!.take(address, event)
    if (found !== undefined) {
      await this.#settle()
      return this.#copied(read, partition, found.cursor, found.storedAt)
    }
    const storedAt = Math.max(stored.storedAt, this.#storedAt[partition] ?? 0)
    if (this.#run !== undefined && !continues(this.#run, address, storedAt)) this.#launch()
    this.#run ??= { address, storedAt, target: partition, events: [], reads: [], bytes: 0 }
    this.#run.events.push(event)
    this.#run.reads.push(read)
    const bytes = eventBytes(event)
    this.#run.bytes += bytes
    this.#flyingBytes += bytes
    this.#pending.add(stored.cursor)
    this.#storedAt[partition] = storedAt
    if (this.#pending.size >= flyingEvents || this.#flyingBytes >= flyingBytes) await this.#settle()
  }

  /** An event that tells of another one comes after it, and has to know where that one has come to. */
  async #awaitSubject(cursor: Cursor | undefined): Promise<void> {
    const { map } = this.#options
    if (cursor === undefined) return
    if (this.#pending.has(cursor)) return this.#settle()
    if (map.exact(cursor) !== undefined) return
    const partition = map.partitionOf(cursor)
    if (partition === undefined) return
    // Another partition's clock may be ahead.
    // Ends: with the partition that is read.
    while (await this.#reader.isAhead(cursor, partition)) {
      const read = await this.#reader.next(partition)
      if (read === undefined) break
      await this.#put(read)
    }
    if (this.#pending.has(cursor)) await this.#settle()
  }

  #launch(): void {
    const run = this.#run
    if (run === undefined) return
    this.#run = undefined
    const appended = this.#options.target.log.append(run.address, run.events, { storedAt: run.storedAt })
    appended.catch(() => {}) // Heard of when it is settled.
    this.#flights.push({ run, appended })
  }

  /** All that was put is in the target, and is known to be there. */
  async #settle(): Promise<void> {
    this.#launch()
    const flights = this.#flights
    for (const { run, appended } of flights) {
      for (const [i, { cursor }] of (await appended).entries()) {
        this.#copied(run.reads[i]!, run.target, cursor, run.storedAt)
      }
    }
    this.#flights = []
    this.#flyingBytes = 0
    this.#pending.clear()
  }

  #copied({ partition, stored }: Read, target: number, cursor: Cursor, storedAt: number): void {
    this.#options.map.add(partition, target, { old: stored.cursor, new: cursor })
    this.#ends[target] = cursor
    this.#storedAt[target] = Math.max(storedAt, this.#storedAt[target] ?? 0)
    if (storedAt > stored.storedAt) this.#raised.push([stored.cursor, storedAt])
    this.#events++
  }

  async #endStep(): Promise<void> {
    await this.#settle()
    const { ledger, map, tell } = this.#options
    const progress = {
      events: this.#events,
      positions: this.#reader.positions,
      ends: this.#ends,
      storedAt: this.#storedAt,
    }
    ledger.save(progress, map.take(), this.#raised)
    this.#raised = []
    this.#tail!.stepEnded(this.#stepEvents)
    this.#stepEvents = 0
    this.#stepBytes = 0
    tell(this.#events)
  }
}

function continues(run: Run, address: Address, storedAt: number): boolean {
  return (
    run.storedAt === storedAt &&
    run.address.topic === address.topic &&
    run.address.key === address.key &&
    run.address.tenant === address.tenant &&
    run.events.length < runEvents &&
    run.bytes < runBytes
  )
}

/** About what it takes. */
function eventBytes({ data, attributesJson }: Event): number {
  return attributesJson.length + (data?.length ?? 0) + 100
}
