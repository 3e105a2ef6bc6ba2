import type { Item } from "../core/catalog.ts"
import { routingKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { ConflictError } from "../core/errors.ts"
import type { Trigger } from "../core/resources.ts"
import { createMatcher, type Matcher } from "../match/matcher.ts"
import { type CatchUp, type CatchUpContext, CatchUps, type ReadLimits, readTowards } from "./catch-up.ts"
import { Histories } from "./histories.ts"
import { isRetried, persist } from "./persist.ts"
import { incarnationIn, markOf, partitionOf, pathOf, type RoutingRecord, readerOf } from "./record.ts"
import { type Resting, RestingTriggers } from "./resting.ts"
import type { CatchingUp } from "./router.ts"

/*
 * Which reader serves which trigger, so that every event after the trigger's `from` is routed for it exactly once. The main
 * reader is another one for a tenant that is aside (asides.ts): what is said here of the main reader holds for that one then.
 *
 *                    ┌────────── pause ──────────┐
 *                    ▼                           │
 *   new ───────▶ resting ──resume──▶ catching ───┤
 *                    │                   │ arrives at the main reader
 *                    └──no gap──▶ attached ──────┘
 *
 * attached: the main reader serves it, for events after `attachedAfter`. Otherwise its own reader does; while resting
 * (paused, or with filters or a `from` that cannot be used) that reader stands still.
 *
 * Its *frontier* is a fact of the engine alone: with `attachedAfter` in the record, the later of that and the main
 * reader's position; else its own reader's position, else `from`. The invariant: an event up to the frontier that
 * matched has been enqueued, none beyond it has. Writes keep it, each on its own, and a crash keeps a prefix of them:
 *
 *  - Routing enqueues and moves the frontier in one write. A position moves in memory alone only over events that
 *    matched nobody, so a position that is behind after a crash passes over the same events and finds nothing.
 *  - Attaching writes the record, at a moment when the main reader is not beyond the frontier and stands still (the
 *    turn is ours): the frontier stays, now as `attachedAfter`. Only after that does the main reader go on.
 *  - Detaching first moves the own reader to the main reader's place, which is no frontier yet, then writes the record.
 *    Between the saved position of the main reader and its place nothing matched, so the frontier may leap over it.
 *    Should the own reader be further already, from a detaching that a crash cut off here, the same holds for it.
 *  - Removing stops matching, drops the open deliveries, forgets the reader and, last, the record; so it is done again
 *    if it was cut off, before a new trigger of this id begins. A reader's position is never there without a record.
 *  - What a trigger is from its frontier on is kept before anything is judged by it (histories.ts), the frontier before
 *    that: else a crash would take it back, and what the old one has passed over would be judged by the new one.
 */

export interface TriggerReadersOptions extends CatchUpContext {
  /** Triggers on topics of other partitions have readers of their own. */
  readonly partition: number
  /** Holds the attached triggers. */
  readonly matcher: Matcher
  /** Runs `work` while the reader stands still that serves the tenant's attached triggers. */
  inTurn(tenant: string, work: () => Promise<void>): Promise<void>
  /** Where that is: the main reader, but for a tenant that is aside. */
  readonly here: (tenant: string) => Cursor
  /** Makes that durable. */
  readonly saveHere: (tenant: string) => Promise<void>
  readonly readersMax: number
  readonly limits: ReadLimits
  readonly failed: (error: unknown) => void
}

interface TrackedTrigger {
  trigger: Trigger
  /** Which trigger of this id. */
  readonly mark: string
  /** The frontier, unless it is attached. */
  position: Cursor
  /** What the catalog holds. */
  record: RoutingRecord | undefined
  state: State
}

type State =
  | { readonly kind: "resting" }
  | { readonly kind: "catching"; readonly catchUp: CatchUp }
  | { readonly kind: "attached"; readonly after: Cursor }

/** Every method but `admits` is to be called within a turn, so that the main reader stands still. */
export class TriggerReaders {
  readonly #options: TriggerReadersOptions
  readonly #tracked = new Map<string, TrackedTrigger>()
  /** Attached triggers that the main reader has not come to yet. */
  readonly #ahead = new Map<string, Cursor>()
  readonly #catchUps: CatchUps
  readonly #histories: Histories
  readonly #resting: RestingTriggers
  /** Found at the start, until the trigger of each is seen. */
  #left = new Map<string, RoutingRecord>()
  /** What is left of deleted triggers is being removed, beside the turns: there may be much of it. */
  readonly #clearing = new Map<string, Promise<void>>()

  constructor(options: TriggerReadersOptions) {
    this.#options = options
    this.#resting = new RestingTriggers(options.retrying.log)
    this.#catchUps = new CatchUps({ ...options, arrived: (catchUp) => this.#arrived(catchUp) })
    this.#histories = new Histories({ ...options, catalog: options.engine.catalog })
  }

  /** How many triggers are catching up. */
  get catching(): number {
    return this.#catchUps.count
  }

  /** Which. */
  catchingUp(): readonly CatchingUp[] {
    return this.#catchUps.all().map((catchUp) => {
      const { trigger, since } = catchUp
      return {
        ...{ tenant: trigger.tenant, trigger: trigger.id, since },
        get stopped() {
          return catchUp.stopped
        },
      }
    })
  }

  /** The triggers that cannot be matched. */
  get resting(): readonly Resting[] {
    return this.#resting.list()
  }

  /** Reads what was kept at the last life's end. */
  async load(): Promise<void> {
    await this.#histories.load()
    const { catalog } = this.#options.engine
    // Ends: with the items: each page begins behind the last one.
    for (let after: string | undefined; ; ) {
      const page: readonly Item<RoutingRecord>[] = await catalog.list(routingKeys.prefix, {
        limit: 1_000,
        ...(after === undefined ? {} : { after }),
      })
      for (const { key, value } of page) {
        if ((value.partition ?? 0) === this.#options.partition) this.#left.set(routingKeys.pathIn(key), value)
      }
      after = page.at(-1)?.key
      if (after === undefined) return
    }
  }

  /** All triggers that exist have been put: what is left was deleted while nobody looked. */
  async loaded(): Promise<void> {
    for (const gone of this.#histories.open()) {
      if (!this.#tracked.has(pathOf(gone))) await this.#histories.end(gone, await this.#leftAt(pathOf(gone)))
    }
    for (const [path, { of }] of this.#left) this.#clearAside(path, of)
    this.#left = new Map()
    await this.#histories.prune()
  }

  /** The frontier of a trigger that was deleted while nobody looked; undefined where it has not left its start. */
  async #leftAt(path: string): Promise<Cursor | undefined> {
    const record = this.#left.get(path)
    if (record?.attachedAfter === undefined) return record && this.#positionOf(path, record.of)
    return this.#laterOfHere(path.slice(0, path.indexOf("/")), record.attachedAfter)
  }

  /** Whether the main reader serves this event for this trigger, which its matcher has found. */
  admits(trigger: Trigger, cursor: Cursor): boolean {
    if (this.#ahead.size === 0) return true
    const after = this.#ahead.get(pathOf(trigger))
    return after === undefined || this.#options.engine.log.compare(cursor, after) > 0
  }

  /** A reader has moved on that serves attached triggers. */
  moved(): void {
    for (const [path, after] of this.#ahead) {
      const here = this.#options.here(path.slice(0, path.indexOf("/")))
      if (this.#options.engine.log.compare(here, after) >= 0) this.#ahead.delete(path)
    }
  }

  /** A trigger was made or changed. */
  async put(trigger: Trigger): Promise<void> {
    const path = pathOf(trigger)
    // One that was here is another one: a trigger stays on its partition.
    if (partitionOf(this.#options.engine.log, trigger) !== this.#options.partition) return this.remove(path)
    const mark = markOf(trigger)
    if (this.#tracked.has(path) && this.#tracked.get(path)!.mark !== mark) await this.remove(path)
    await this.#clearing.get(path)
    const tracked = this.#tracked.get(path) ?? (await this.#welcome(path, trigger, mark))
    tracked.trigger = trigger
    const since = await this.#rest(tracked)
    const frontier = this.#histories.has(trigger) ? undefined : await this.#durableFrontier(path, tracked)
    const kept = frontier === undefined ? undefined : this.#histories.keep(trigger, frontier)
    const own = this.#compile(path, trigger)
    // What attaches has to wait for a write of its own: one wait is enough for both.
    if (own && tracked.state.kind === "resting" && !this.#isBehind(trigger.tenant, tracked.position)) {
      return this.#attach(path, tracked, kept)
    }
    await kept
    if (tracked.state.kind === "resting") return own && this.#start(path, tracked, own, since)
    if (own) this.#options.matcher.set(trigger)
    else if (tracked.state.kind === "attached") await this.#detach(path, tracked, tracked.state.after)
  }

  /** A trigger was deleted. */
  async remove(path: string): Promise<void> {
    const tracked = this.#tracked.get(path)
    if (!tracked) return
    await this.#rest(tracked)
    this.#unmatch(path, tracked.trigger)
    this.#tracked.delete(path)
    this.#resting.forget(path)
    await this.#histories.end(tracked.trigger, this.#frontierOf(tracked))
    if (tracked.record) this.#clearAside(path, tracked.mark)
  }

  /** Resolves when nothing is read or routed any more but by the main reader. */
  async stop(): Promise<void> {
    await this.#catchUps.removeAll()
    await Promise.all(this.#clearing.values())
  }

  async #welcome(path: string, trigger: Trigger, mark: string): Promise<TrackedTrigger> {
    let record = this.#left.get(path)
    if (record && record.of !== mark) {
      await this.#histories.end(trigger, await this.#leftAt(path))
      await this.#clear(path, record.of)
      record = undefined
    }
    this.#left.delete(path)
    const position = (record && (record.attachedAfter ?? (await this.#positionOf(path, mark)))) ?? trigger.from
    const tracked: TrackedTrigger = { trigger, mark, position, record, state: { kind: "resting" } }
    if (record?.attachedAfter !== undefined) this.#serve(path, tracked, record.attachedAfter)
    this.#tracked.set(path, tracked)
    return tracked
  }

  /** Stops its own reader, if that is reading; answers since when it was. */
  async #rest(tracked: TrackedTrigger): Promise<number | undefined> {
    if (tracked.state.kind !== "catching") return undefined
    const { catchUp } = tracked.state
    await this.#catchUps.remove(catchUp)
    tracked.position = catchUp.position
    tracked.state = { kind: "resting" }
    return catchUp.since
  }

  /** `since`: it was reading already, and goes on. */
  #start(path: string, tracked: TrackedTrigger, matcher: Matcher, since = this.#options.retrying.clock.steady()): void {
    const catchUp: CatchUp = {
      trigger: tracked.trigger,
      matcher,
      reader: readerOf(path, incarnationIn(tracked.mark)),
      position: tracked.position,
      since,
      begin: () => this.#write(path, tracked, { of: tracked.mark }),
      begun: tracked.record !== undefined,
      arrivals: 0,
      stopped: false,
    }
    tracked.state = { kind: "catching", catchUp }
    this.#catchUps.add(catchUp)
  }

  #arrived(catchUp: CatchUp): void {
    const { inTurn, failed } = this.#options
    inTurn(catchUp.trigger.tenant, () => this.#join(catchUp)).catch(failed)
  }

  /** Reads the little that is left while the main reader waits; twice as much at each time, so that it comes to an end. */
  async #join(catchUp: CatchUp): Promise<void> {
    const path = pathOf(catchUp.trigger)
    const tracked = this.#tracked.get(path)
    if (catchUp.stopped || tracked?.state.kind !== "catching" || tracked.state.catchUp !== catchUp) return
    const limits = { ...this.#options.limits, batchesMax: 2 ** catchUp.arrivals++ }
    try {
      if (!(await readTowards(catchUp, this.#options.here(tracked.trigger.tenant), limits, this.#options)))
        return this.#catchUps.add(catchUp)
    } catch (error) {
      if (!isRetried(error)) throw error
      return this.#catchUps.addLater(catchUp, error)
    }
    tracked.position = catchUp.position
    await this.#attach(path, tracked)
    this.#catchUps.done(catchUp)
  }

  #frontierOf({ state, position, trigger }: TrackedTrigger): Cursor {
    return state.kind === "attached" ? this.#laterOfHere(trigger.tenant, state.after) : position
  }

  /** The frontier of a trigger whose own reader stands still, once a crash cannot take it back any more. */
  async #durableFrontier(path: string, tracked: TrackedTrigger): Promise<Cursor> {
    const { engine, retrying, fence, saveHere } = this.#options
    const cursor = this.#frontierOf(tracked)
    if (tracked.state.kind === "attached") await saveHere(tracked.trigger.tenant)
    else if (cursor !== tracked.trigger.from) {
      if (tracked.record === undefined) await this.#write(path, tracked, { of: tracked.mark })
      const position = { reader: readerOf(path, incarnationIn(tracked.mark)), cursor, ...(fence && { fence }) }
      await persist(retrying, "saving a trigger's position", () => engine.queue.enqueue([], position))
    }
    return cursor
  }

  #laterOfHere(tenant: string, cursor: Cursor): Cursor {
    return this.#isBehind(tenant, cursor) ? this.#options.here(tenant) : cursor
  }

  /** Whether the tenant's reader of attached triggers is beyond this cursor. */
  #isBehind(tenant: string, cursor: Cursor): boolean {
    return this.#options.engine.log.compare(cursor, this.#options.here(tenant)) < 0
  }

  /** The main reader is not beyond the trigger's position, and stands still. */
  async #attach(path: string, tracked: TrackedTrigger, kept?: Promise<void>): Promise<void> {
    const written = this.#write(path, tracked, { of: tracked.mark, attachedAfter: tracked.position })
    await Promise.all([kept, written])
    this.#serve(path, tracked, tracked.position)
    this.#options.matcher.set(tracked.trigger)
  }

  #serve(path: string, tracked: TrackedTrigger, after: Cursor): void {
    tracked.state = { kind: "attached", after }
    if (!this.#isBehind(tracked.trigger.tenant, after)) this.#ahead.set(path, after)
  }

  async #detach(path: string, tracked: TrackedTrigger, after: Cursor): Promise<void> {
    const { engine, retrying, fence } = this.#options
    const reader = readerOf(path, incarnationIn(tracked.mark))
    const cursor = this.#laterOfHere(tracked.trigger.tenant, after)
    const position = { reader, cursor, ...(fence && { fence }) }
    await persist(retrying, "pausing a trigger", () => engine.queue.enqueue([], position))
    await this.#write(path, tracked, { of: tracked.mark })
    this.#unmatch(path, tracked.trigger)
    tracked.position = (await this.#positionOf(path, tracked.mark)) ?? cursor
    tracked.state = { kind: "resting" }
  }

  /** Where the own reader of the trigger with this mark is. */
  #positionOf(path: string, mark: string): Promise<Cursor | undefined> {
    const { engine, retrying } = this.#options
    const reader = readerOf(path, incarnationIn(mark))
    return persist(retrying, "finding a trigger's position", () => engine.queue.position(reader))
  }

  #unmatch(path: string, trigger: Trigger): void {
    this.#options.matcher.delete(trigger.tenant, trigger.id)
    this.#ahead.delete(path)
  }

  async #write(path: string, tracked: TrackedTrigger, written: RoutingRecord): Promise<void> {
    const { engine, retrying, partition } = this.#options
    const record = partition === 0 ? written : { ...written, partition }
    await persist(retrying, "recording a trigger", () => engine.catalog.put(routingKeys.at(path), record))
    tracked.record = record
  }

  #clearAside(path: string, mark: string): void {
    const clearing = this.#clear(path, mark)
      .catch(this.#options.failed)
      .finally(() => this.#clearing.delete(path))
    this.#clearing.set(path, clearing)
  }

  /** Removes what is left of the trigger with this mark; another of its id, on whatever partition, keeps what it has. */
  async #clear(path: string, mark: string): Promise<void> {
    const { engine, retrying } = this.#options
    const [tenant, id] = path.split("/") as [string, string]
    const incarnation = incarnationIn(mark)
    await persist(retrying, "removing a trigger", async () => {
      await engine.queue.drop(tenant, id, incarnation)
      await engine.queue.forget(readerOf(path, incarnation))
      await this.#forgetRecord(path, mark)
    })
  }

  async #forgetRecord(path: string, mark: string): Promise<void> {
    const { catalog } = this.#options.engine
    const key = routingKeys.at(path)
    const item = await catalog.get<RoutingRecord>(key)
    if (item?.value.of !== mark) return
    try {
      await catalog.delete(key, item.revision)
    } catch (error) {
      // Another trigger of this id has written its own meanwhile.
      if (!(error instanceof ConflictError)) throw error
    }
  }

  /** Undefined where it is paused, or cannot be matched: then it rests, and loses nothing, until it is put right. */
  #compile(path: string, trigger: Trigger): Matcher | undefined {
    if (trigger.paused) {
      this.#resting.forget(path)
      return undefined
    }
    try {
      const matcher = createMatcher()
      matcher.set(trigger)
      this.#isBehind(trigger.tenant, trigger.from)
      this.#resting.goesOn(path)
      return matcher
    } catch (error) {
      this.#resting.rests(path, trigger, error)
      return undefined
    }
  }
}
