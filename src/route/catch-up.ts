import type { Address } from "../core/address.ts"
import { parseTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import type { Fence } from "../core/positions.ts"
import type { Trigger } from "../core/resources.ts"
import type { Matcher } from "../match/matcher.ts"
import { Pace } from "./pace.ts"
import { isRetried, persist, type RetryContext, rereadAfterMs } from "./persist.ts"
import { deliveriesOf } from "./record.ts"
import type { RouterObserver } from "./router.ts"

/** Reads the log for one trigger, from its own position on. */
export interface CatchUp {
  readonly trigger: Trigger
  /** Of this trigger alone. */
  readonly matcher: Matcher
  readonly reader: string
  /** Everything up to here is routed. */
  position: Cursor
  /** Durable before the reader's first position is: marks that there is something to clean up. */
  readonly begin: () => Promise<void>
  begun: boolean
  /** When it began, by the clock's steady time. */
  readonly since: number
  /** Times that it arrived and the main reader had gone on meanwhile. */
  arrivals: number
  stopped: boolean
}

export interface ReadLimits {
  readonly batchMax: number
  /** Batches of one stint. */
  readonly batchesMax: number
}

/** What reading a trigger's past needs of its router. */
export interface CatchUpContext {
  readonly engine: Engine
  readonly retrying: RetryContext
  readonly fence?: Fence
  readonly observe?: Pick<RouterObserver, "caughtUp">
}

/**
 * Routes from the position towards `until`, and answers whether it has come there. Between two awaits the saved position
 * and the deliveries before it are always in step; what matched nothing moves only the position in memory.
 */
export async function readTowards(
  catchUp: CatchUp,
  until: Cursor,
  limits: ReadLimits,
  { engine, retrying, fence, observe }: CatchUpContext,
): Promise<boolean> {
  const { log, queue } = engine
  if (log.compare(catchUp.position, until) >= 0) return true
  const pace = new Pace(retrying)
  let batches = 0
  const options = { where: addressOf(catchUp.trigger), from: catchUp.position, until, batchMax: limits.batchMax }
  for await (const batch of log.read(options)) {
    const deliveries: Delivery[] = []
    for (const stored of batch.events) {
      const fired = pace.match(catchUp.matcher, stored)
      for (const delivery of deliveriesOf(stored, fired instanceof Promise ? await fired : fired)) {
        deliveries.push(delivery)
      }
    }
    // A batch may reach beyond `until`, but not all that lies there has been looked at.
    const cursor = log.compare(batch.next, until) > 0 ? until : batch.next
    if (deliveries.length > 0) {
      await begin(catchUp)
      const position = { reader: catchUp.reader, cursor, ...(fence && { fence }) }
      await persist(retrying, "routing a trigger's past", () => queue.enqueue(deliveries, position))
    }
    catchUp.position = cursor
    observe?.caughtUp?.({ events: batch.events.length, deliveries: deliveries.length })
    batches++
    if (catchUp.stopped || batches >= limits.batchesMax) return log.compare(catchUp.position, until) >= 0
  }
  catchUp.position = until
  return true
}

function readingFor({ trigger }: CatchUp): string {
  return `reading the past of trigger ${trigger.tenant}/${trigger.id}`
}

async function begin(catchUp: CatchUp): Promise<void> {
  if (catchUp.begun) return
  await catchUp.begin()
  catchUp.begun = true
}

function addressOf(trigger: Trigger): Address {
  const parsed = parseTopic(trigger.topic)
  if (typeof parsed === "string") throw new TypeError(parsed)
  return { tenant: trigger.tenant, ...parsed }
}

export interface CatchUpsOptions extends CatchUpContext {
  /** Readers at a time. */
  readonly readersMax: number
  readonly limits: ReadLimits
  /** Where the reader is that serves the tenant's attached triggers. */
  readonly here: (tenant: string) => Cursor
  /** Called when one has come to where that reader was; it is not read on until it is added again. */
  readonly arrived: (catchUp: CatchUp) => void
  readonly failed: (error: unknown) => void
}

/** The triggers that catch up: some at a time, in stints, each in its turn. */
export class CatchUps {
  readonly #options: CatchUpsOptions
  /** Those that have not come to their end, whether they wait, read, are put off, or are about to join the main reader. */
  readonly #all = new Set<CatchUp>()
  readonly #waiting = new Set<CatchUp>()
  readonly #running = new Map<CatchUp, Promise<void>>()

  constructor(options: CatchUpsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#all.size
  }

  all(): readonly CatchUp[] {
    return [...this.#all]
  }

  /** It has joined the main reader. */
  done(catchUp: CatchUp): void {
    this.#all.delete(catchUp)
  }

  add(catchUp: CatchUp): void {
    this.#all.add(catchUp)
    this.#waiting.add(catchUp)
    this.#next()
  }

  /** Adds it after a while, because the log could not be read. */
  addLater(catchUp: CatchUp, error: unknown): void {
    const { clock, troubles, stop } = this.#options.retrying
    const { tenant, id } = catchUp.trigger
    const line = `the log cannot be read; the past of trigger ${tenant}/${id} waits`
    troubles.met(readingFor(catchUp), line, { err: error, tenant, trigger: id })
    clock.after(rereadAfterMs, () => {
      if (!catchUp.stopped && !stop.aborted) this.add(catchUp)
    })
  }

  /** Resolves when nothing is read or routed for it any more. */
  async remove(catchUp: CatchUp): Promise<void> {
    catchUp.stopped = true
    this.#options.retrying.troubles.forget(readingFor(catchUp))
    this.#waiting.delete(catchUp)
    this.#all.delete(catchUp)
    await this.#running.get(catchUp)
  }

  async removeAll(): Promise<void> {
    await Promise.all(this.all().map((catchUp) => this.remove(catchUp)))
  }

  #next(): void {
    for (const catchUp of this.#waiting) {
      if (this.#running.size >= this.#options.readersMax) return
      this.#waiting.delete(catchUp)
      this.#running.set(catchUp, this.#stint(catchUp))
    }
  }

  async #stint(catchUp: CatchUp): Promise<void> {
    const { here, limits, arrived, failed } = this.#options
    // The stint must be in #running before it can end.
    await undefined
    try {
      const there = await readTowards(catchUp, here(catchUp.trigger.tenant), limits, this.#options)
      this.#running.delete(catchUp)
      if (catchUp.stopped) return
      this.#options.retrying.troubles.over(readingFor(catchUp))
      if (there) arrived(catchUp)
      else this.#waiting.add(catchUp)
    } catch (error) {
      this.#running.delete(catchUp)
      if (isRetried(error)) this.addLater(catchUp, error)
      else failed(error)
    } finally {
      this.#next()
    }
  }
}
