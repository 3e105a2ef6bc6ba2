import { asideKey } from "../core/catalog-keys.ts"
import { sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { AssignmentLostError, ConflictError } from "../core/errors.ts"
import type { Batch, ReadOptions, StoredEvent } from "../core/log.ts"
import type { Fence } from "../core/positions.ts"
import { type AsideRecord, asideReaderOf } from "../core/routing.ts"
import { Serial } from "../core/serial.ts"
import type { LogReader } from "./log-reader.ts"
import { isRetried, persist, type RetryContext, rereadAfterMs } from "./persist.ts"

/*
 * A tenant that floods is routed *aside*: by a reader of its own, while the main reader passes over its events and so comes
 * to those of the others. When the own reader has come to where the main one is, the tenant is the main one's again.
 *
 * Of a tenant the reader is a fact of the engine alone: the record names those that are aside, each at a number that its
 * reader's name has. The writes keep it, each on its own:
 *
 *  - To put a tenant aside, the own reader is moved to the main one's saved place, which is no fact yet; then the record is
 *    written; only then does the main reader go on, and passes over the tenant.
 *  - To bring it back, the main reader stands still, and the own one has come to its place, no less and no further. That place
 *    is saved, then the record is written. The own reader's position stays: it is behind wherever the next tenant of its number begins.
 *
 * Locks are taken in one order: the turn of a tenant's reader, then the main reader's.
 */

/** Tenants that are aside at a time, in one partition; one more that floods keeps the others waiting. */
export const asidesMax = 8
/** A tenant that has no more than so many events left is brought back while the main reader waits. */
const joinEvents = 16
/** How long a reader rests that is before the main one. */
const aheadMs = 50

/** A tenant that is routed aside. */
export interface Aside {
  readonly tenant: string
  readonly number: number
  readonly reader: LogReader
  /** Its own: whoever holds it has this reader stand still. */
  readonly turns: Serial
  /** The tenant is the main reader's again. */
  isOver: boolean
}

export interface AsidesOptions {
  readonly engine: Engine
  readonly partition: number
  readonly fence?: Fence
  readonly retrying: RetryContext
  /** The main reader's. */
  readonly turns: Serial
  readonly main: () => LogReader
  /** A reader that serves this tenant alone. */
  reader(of: Pick<Aside, "tenant" | "turns"> & { readonly name: string }, saved: Cursor | undefined): LogReader
  /** A reader has moved on. */
  moved(): void
  routed(events: number, deliveries: number): void
  failed(error: unknown): void
}

/** The tenants of a partition that are routed aside. */
export class Asides {
  readonly #options: AsidesOptions
  readonly #key: string
  readonly #byTenant = new Map<string, Aside>()
  readonly #running = new Set<Promise<void>>()
  #revision = 0

  constructor(options: AsidesOptions) {
    this.#options = options
    this.#key = asideKey(options.partition)
  }

  /** Undefined: the main reader serves it. */
  of(tenant: string): Aside | undefined {
    return this.#byTenant.get(tenant)
  }

  /** Takes over those that the last life has put aside. */
  async load(): Promise<void> {
    const { engine, partition, retrying, fence } = this.#options
    const item = await persist(retrying, "finding who is routed aside", () =>
      engine.catalog.get<AsideRecord>(this.#key, { newest: true }),
    )
    this.#revision = item?.revision ?? 0
    for (const [number, tenant] of (item?.value.tenants ?? []).entries()) {
      if (tenant === null) continue
      const name = asideReaderOf(partition, number)
      const saved = await persist(retrying, "finding a reader's position", () => engine.queue.position(name))
      this.#add(tenant, number, saved)
    }
    // Whoever had the partition before, and does not know it yet, writes no more.
    if (fence) await this.#write()
  }

  /** Goes on with what was taken over. */
  start(): void {
    for (const aside of this.#byTenant.values()) this.#run(aside)
  }

  /**
   * Puts the tenant aside that has most of these deliveries, which were enqueued right now, where another one's events may be
   * behind them. To be called in the main reader's turn.
   */
  async divert(deliveries: readonly Delivery[]): Promise<void> {
    const tenant = floodOf(deliveries)
    const number = this.#free()
    if (tenant === undefined || number === undefined) return
    const { engine, partition, retrying, fence, main } = this.#options
    const { here: cursor } = main()
    const position = { reader: asideReaderOf(partition, number), cursor, ...(fence && { fence }) }
    await persist(retrying, "putting a tenant aside", () => engine.queue.enqueue([], position))
    const aside = this.#add(tenant, number, cursor)
    await this.#write()
    retrying.log.info({ tenant }, "the tenant floods: it is routed aside until its events are routed")
    this.#run(aside)
  }

  /** Runs `work` while whoever serves the tenant stands still, and the main reader does. */
  async inTurn<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    // Ends: the tenant is put aside, or brought back, only now and then.
    for (;;) {
      const aside = this.of(tenant)
      const run = () =>
        this.#options.turns.run(async () => (this.of(tenant) === aside ? { answer: await work() } : undefined))
      const done = await (aside === undefined ? run() : aside.turns.run(run))
      if (done) return done.answer
    }
  }

  /** Resolves when nothing is routed aside any more; the main reader is told to stop. */
  async stop(): Promise<void> {
    await Promise.all(this.#running)
    for (const { reader } of this.#byTenant.values()) {
      reader.stop()
      // What is not saved is read again, and found to be routed.
      await reader.trySave().catch((error) => (isRetried(error) ? undefined : this.#options.failed(error)))
    }
  }

  #free(): number | undefined {
    const taken = new Set(Array.from(this.#byTenant.values(), ({ number }) => number))
    for (let number = 0; number < asidesMax; number++) if (!taken.has(number)) return number
    return undefined
  }

  #add(tenant: string, number: number, saved: Cursor | undefined): Aside {
    const turns = new Serial()
    const name = asideReaderOf(this.#options.partition, number)
    const reader = this.#options.reader({ name, tenant, turns }, saved)
    const aside = { tenant, number, reader, turns, isOver: false }
    this.#byTenant.set(tenant, aside)
    return aside
  }

  #run(aside: Aside): void {
    const running = this.#follow(aside)
      .catch((error) => this.#options.failed(error))
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  async #follow(aside: Aside): Promise<void> {
    const { engine, retrying, main } = this.#options
    const { clock, stop, troubles, log } = retrying
    const reading = `reading the log for tenant ${aside.tenant}`
    while (!stop.aborted && !aside.isOver) {
      try {
        const until = main().here
        if (this.#isBeyond(aside, until)) {
          await sleep(clock, aheadMs, stop)
          continue
        }
        for await (const batch of engine.log.read(this.#restOf(aside, until))) {
          troubles.over(reading)
          await this.#route(aside, batch, until)
          if (stop.aborted) return
        }
        await aside.turns.run(() => this.#options.turns.run(() => this.#rejoin(aside)))
      } catch (error) {
        if (!isRetried(error)) throw error
        troubles.met(reading, "the log cannot be read; a tenant's events wait", { err: error, tenant: aside.tenant })
        await sleep(clock, rereadAfterMs, stop)
      }
    }
    if (aside.isOver) log.info({ tenant: aside.tenant }, "the tenant is routed with the others again")
  }

  /** After a crash the main reader may be behind: where it passes over what is not its own, its place is saved now and then. */
  #isBeyond({ reader }: Aside, place: Cursor): boolean {
    return this.#options.engine.log.compare(reader.here, place) > 0
  }

  #restOf({ tenant, reader }: Aside, until: Cursor): ReadOptions {
    return { partition: this.#options.partition, where: { tenant }, from: reader.here, until }
  }

  /** A part at a time: matching in the main reader's turn, for triggers must not change meanwhile; writing beside it. */
  async #route(aside: Aside, batch: Batch, until: Cursor): Promise<void> {
    const { retrying, turns } = this.#options
    for (let start = 0; start < batch.events.length && !retrying.stop.aborted; ) {
      start = await aside.turns.run(async () => {
        const gathered = await turns.run(() => aside.reader.gather(batch.events, start))
        const isWhole = gathered.end === batch.events.length
        await this.#moveTo(aside, isWhole ? this.#bounded(batch.next, until) : batch.events[gathered.end - 1]!.cursor, {
          deliveries: gathered.deliveries,
          events: gathered.end - start,
        })
        return gathered.end
      })
    }
  }

  /** A batch may reach beyond `until`, but not all that lies there has been looked at. */
  #bounded(next: Cursor, until: Cursor): Cursor {
    return this.#options.engine.log.compare(next, until) > 0 ? until : next
  }

  async #moveTo(
    { reader }: Aside,
    cursor: Cursor,
    { deliveries, events }: { readonly deliveries: readonly Delivery[]; readonly events: number },
  ): Promise<void> {
    await reader.moveTo(cursor, deliveries)
    this.#options.moved()
    await reader.saveLazily(events)
    this.#options.routed(events, deliveries.length)
  }

  /** In both turns: brings the tenant back, where little is left to read. */
  async #rejoin(aside: Aside): Promise<void> {
    const { engine, main, moved } = this.#options
    const { here } = main()
    const events: StoredEvent[] = []
    if (engine.log.compare(aside.reader.here, here) < 0) {
      for await (const batch of engine.log.read({ ...this.#restOf(aside, here), batchMax: joinEvents + 1 })) {
        events.push(...batch.events)
        if (events.length > joinEvents) return
      }
      const { deliveries, end } = await aside.reader.gather(events, 0)
      if (end < events.length) return
      await aside.reader.moveTo(here, deliveries)
      this.#options.routed(events.length, deliveries.length)
    }
    await main().save()
    this.#byTenant.delete(aside.tenant)
    await this.#write()
    aside.isOver = true
    aside.reader.stop()
    moved()
  }

  async #write(): Promise<void> {
    const { engine, retrying, fence } = this.#options
    const tenants: (string | null)[] = []
    for (const { tenant, number } of this.#byTenant.values()) tenants[number] = tenant
    const epoch = fence?.epoch ?? 0
    const value: AsideRecord = { tenants: Array.from(tenants, (tenant) => tenant ?? null), epoch }
    await persist(retrying, "recording who is routed aside", async () => {
      try {
        this.#revision = await engine.catalog.put(this.#key, value, this.#revision)
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error
        const item = await engine.catalog.get<AsideRecord>(this.#key, { newest: true })
        if (item !== undefined && item.value.epoch > epoch) throw new AssignmentLostError(this.#key)
        // One of our own writes that was taken for failed.
        this.#revision = item?.revision ?? 0
        this.#revision = await engine.catalog.put(this.#key, value, this.#revision)
      }
    })
  }
}

/** The tenant that has more than half of the deliveries. */
function floodOf(deliveries: readonly Delivery[]): string | undefined {
  const counts = new Map<string, number>()
  for (const { tenant } of deliveries) counts.set(tenant, (counts.get(tenant) ?? 0) + 1)
  for (const [tenant, count] of counts) if (count * 2 > deliveries.length) return tenant
  return undefined
}
