import { type Address, parseTopic } from "../../core/address.ts"
import { scheduleProgressKeys } from "../../core/catalog-keys.ts"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { ClosedError, ConflictError, DamagedError, isPassing, PublishRefusedError } from "../../core/errors.ts"
import { Event } from "../../core/event.ts"
import type { Schedule, ScheduleFailure, ScheduleProgress } from "../../core/schedules.ts"
import type { Troubles } from "../../core/troubles.ts"
import type { Wanted } from "./agenda.ts"
import { dueRuns } from "./due.ts"
import { eventOf } from "./event.ts"
import { type Ticks, ticksOf, timingFault } from "./ticks.ts"

/** What the runs of all schedules share. */
export interface Running {
  readonly engine: Pick<Engine, "catalog" | "log">
  readonly clock: Clock
  readonly troubles: Troubles
  /** Resolves when the event is on disk. Throws PublishRefusedError. */
  readonly publish: (address: Address, event: Event) => Promise<void>
}

/** Whether what was tried may be tried again; all else is a bug. */
export function isExpected(error: unknown): boolean {
  return isPassing(error) || others.some((kind) => error instanceof kind)
}

const others = [PublishRefusedError, ClosedError, DamagedError, ConflictError]

const [retryMs, retryMsMax] = [1_000, 10_000]
/** So many runs that were missed are made before it is noted how far that is. */
const unsavedMax = 64

/**
 * One schedule, as it is until it is changed. States: unread (how far it has come is not known yet), waiting for its next run,
 * owing runs that are due. A run is owed until it is published, however often that is refused.
 */
export class ScheduleRun {
  readonly schedule: Schedule
  readonly #running: Running
  readonly #ticks: Ticks
  /** What it was before it was changed. */
  #earlier: ScheduleRun | undefined
  #working: Promise<void> | undefined
  #isOver = false
  /** Undefined: not read yet. */
  #revision: number | undefined
  #beyond: number
  #published: number | undefined
  /** What is stored as the next run. */
  #noted: number | undefined
  /** How far it has come is not stored yet. */
  #isUnsaved = false
  #next: number | undefined
  #owed: number[] = []
  /** Of what is owed, one may be published already, by this process or another one. */
  #isUnsure = true
  #failure: ScheduleFailure | undefined
  #retries = 0
  /** By the clock that nobody sets. */
  #retryAt = Number.NEGATIVE_INFINITY

  constructor(running: Running, schedule: Schedule, earlier?: ScheduleRun) {
    this.schedule = schedule
    this.#running = running
    this.#ticks = ticksOf(schedule)
    this.#beyond = schedule.since
    const fault = timingFault(schedule)
    if (fault !== undefined) this.#failure = { at: schedule.updatedAt, detail: fault }
    // One that has not begun yet knows less than the one before it.
    const isBegun = earlier === undefined || earlier.isWorking || earlier.#revision !== undefined
    this.#earlier = isBegun ? earlier : earlier.#earlier
    earlier?.end()
  }

  /** Why its next run is not published. */
  get failure(): ScheduleFailure | undefined {
    return this.#failure
  }

  get isWorking(): boolean {
    return this.#working !== undefined
  }

  /** When there is something to do. Another time only once it has worked. */
  get wanted(): Wanted {
    const steady = this.#retryAt
    if (this.#revision === undefined || this.#owed.length > 0) return { steady }
    return { ...(this.#next !== undefined && { now: this.#next }), ...(this.#isUnsaved && { steady }) }
  }

  /** Does what there is to do. To be called again only when it has resolved; rejects for bugs. */
  work(): Promise<void> {
    this.#working = this.#work().finally(() => {
      this.#working = undefined
    })
    return this.#working
  }

  /** Nothing more is begun. */
  end(): void {
    this.#isOver = true
  }

  async #work(): Promise<void> {
    try {
      if (this.#revision === undefined) await this.#read()
      if (this.schedule.paused === undefined) await this.#makeRuns()
      if (this.#isUnsaved && !this.#isOver) await this.#save()
      this.#retries = 0
    } catch (error) {
      if (!isExpected(error)) throw error
      await this.#failed(error as Error)
    }
    const isWaiting = this.schedule.paused === undefined && !this.#isOver
    this.#next = isWaiting ? this.#ticks.after(this.#beyond) : undefined
  }

  /** How far it has come: as it is stored, or as the one before it knows, where that could not be stored. */
  async #read(): Promise<void> {
    const earlier = this.#earlier
    if (earlier !== undefined) await earlier.#working?.catch(() => {})
    const item = await this.#running.engine.catalog.get<ScheduleProgress>(scheduleProgressKeys.of(this.schedule))
    await this.#take(item?.value)
    if (earlier !== undefined && earlier.#revision !== undefined && isSame(earlier.schedule, this.schedule)) {
      this.#owed = this.schedule.paused === undefined ? earlier.#owed : []
      this.#isUnsaved = earlier.#isUnsaved
      this.#reach(earlier.#beyond, earlier.#published)
    }
    this.#revision = item?.revision ?? 0
    this.#earlier = undefined
  }

  async #take(progress: ScheduleProgress | undefined): Promise<void> {
    if (progress === undefined || !isSame(progress, this.schedule)) return
    this.#reach(progress.passed ?? this.schedule.since, progress.tick)
    this.#failure ??= progress.failure
    this.#noted = progress.next
    if (this.#noted === undefined || !(await this.#isKnownPublished(this.#noted))) return
    this.#reach(this.#noted, this.#noted)
    this.#isUnsaved = true
  }

  #reach(passed: number, published: number | undefined): void {
    this.#beyond = Math.max(this.#beyond, passed)
    if (published !== undefined) this.#published = Math.max(this.#published ?? published, published)
  }

  async #makeRuns(): Promise<void> {
    const due = this.#due()
    // The clock may be set back before it is stored that this one is published.
    if (this.#owed.length > 0 && this.#owed[0] !== this.#noted) await this.#save()
    let unsaved = 0
    while (this.#owed.length > 0 && !this.#isOver) {
      const tick = this.#owed[0]!
      await this.#publish(tick)
      this.#owed.shift()
      this.#reach(tick, tick)
      this.#failure = undefined
      this.#isUnsaved = true
      this.#running.troubles.over(this.#what)
      if (++unsaved % unsavedMax === 0) await this.#save()
    }
    if (due === undefined || this.#isOver || due === this.#beyond) return
    this.#reach(due, undefined)
    this.#isUnsaved = true
  }

  /** Owes what is due; answers up to where nothing else is. */
  #due(): number | undefined {
    if (this.#owed.length > 0) return undefined
    const due = dueRuns(this.#ticks, this.schedule.missed, this.#beyond, this.#running.clock.now())
    this.#owed = [...(due?.runs ?? [])]
    return due?.passed
  }

  async #publish(tick: number): Promise<void> {
    if (this.#isUnsure && (await this.#isPublished(tick))) return
    const { address, event } = this.#eventAt(tick)
    this.#isUnsure = true
    await this.#running.publish(address, event)
    this.#isUnsure = false
  }

  async #isPublished(tick: number): Promise<boolean> {
    const { address, event } = this.#eventAt(tick)
    return (await this.#running.engine.log.find(address, event)) !== undefined
  }

  /** What keeps it from being found out is told once the run is due: then it is looked for again. */
  async #isKnownPublished(tick: number): Promise<boolean> {
    try {
      return await this.#isPublished(tick)
    } catch (error) {
      if (error instanceof DamagedError || error instanceof PublishRefusedError) return false
      throw error
    }
  }

  #eventAt(tick: number): { readonly address: Address; readonly event: Event } {
    const [event, topic] = [eventOf(this.schedule, tick), parseTopic(this.schedule.topic)]
    if (!(event instanceof Event)) throw new PublishRefusedError(event.detail)
    if (typeof topic === "string") throw new PublishRefusedError(topic)
    return { address: { tenant: this.schedule.tenant, ...topic }, event }
  }

  async #failed(error: Error): Promise<void> {
    const { clock, troubles } = this.#running
    const askedMs = error instanceof PublishRefusedError ? (error.retryAfterMs ?? 0) : 0
    this.#retryAt = clock.steady() + Math.max(askedMs, Math.min(retryMs * 2 ** this.#retries++, retryMsMax))
    if (this.#owed.length === 0 || error instanceof ClosedError) return
    const { tenant, id: schedule } = this.schedule
    const isNew = this.#failure?.detail !== error.message
    this.#failure = { at: clock.now(), detail: error.message }
    troubles.met(this.#what, "a schedule's event is not taken; it is tried again", {
      tenant,
      schedule,
      why: error.message,
    })
    // Where it cannot be stored, this process alone knows it.
    if (isNew && this.#revision !== undefined) await this.#save().catch(() => {})
  }

  async #save(): Promise<void> {
    const { catalog } = this.#running.engine
    const key = scheduleProgressKeys.of(this.schedule)
    const { incarnation, since } = this.schedule
    const next = this.#owed[0] ?? this.#ticks.after(this.#beyond)
    const progress: ScheduleProgress = {
      ...{ incarnation, since, passed: this.#beyond },
      ...(next !== undefined && { next }),
      ...(this.#published !== undefined && { tick: this.#published }),
      ...(this.#failure && { failure: this.#failure }),
    }
    try {
      this.#revision = await catalog.put(key, progress, this.#revision ?? 0)
      this.#noted = next
      this.#isUnsaved = false
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      await this.#reread(key)
    }
  }

  /** Another process has come on with it, or it is deleted. */
  async #reread(key: string): Promise<void> {
    const item = await this.#running.engine.catalog.get<ScheduleProgress>(key)
    if (item !== undefined && isSame(item.value, this.schedule)) {
      this.#reach(item.value.passed ?? this.schedule.since, item.value.tick)
      this.#owed = this.#owed.filter((tick) => tick > this.#beyond)
    }
    this.#revision = item?.revision ?? 0
    this.#isUnsure = true
    this.#isUnsaved = false
  }

  get #what(): string {
    return `schedule ${this.schedule.tenant}/${this.schedule.id}`
  }
}

/** Whether one has come as far as the other: it is the same schedule, with the same timing. */
function isSame(a: Pick<Schedule, "incarnation" | "since">, b: Pick<Schedule, "incarnation" | "since">): boolean {
  return a.incarnation === b.incarnation && a.since === b.since
}
