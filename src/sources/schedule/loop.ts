import type { Item } from "../../core/catalog.ts"
import { scheduleKeys, scheduleProgressKeys } from "../../core/catalog-keys.ts"
import { scan } from "../../core/catalog-scan.ts"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import type { Logger } from "../../core/logger.ts"
import { createPace } from "../../core/pace.ts"
import type { Schedule, ScheduleFailure } from "../../core/schedules.ts"
import { Troubles } from "../../core/troubles.ts"
import { Agenda } from "./agenda.ts"
import { isExpected, type Running, ScheduleRun } from "./run.ts"

export interface SchedulesOptions extends Pick<Running, "publish"> {
  readonly engine: Engine
  readonly clock: Clock
  readonly log: Logger
}

/** The loop that publishes what schedules have to. */
export interface Schedules {
  readonly done: Promise<void>
  stop(): Promise<void>
  /** Why a schedule's run could not be published, where this process tries. */
  failureOf(schedule: Pick<Schedule, "tenant" | "id">): ScheduleFailure | undefined
}

/** The clock is looked at this often, for somebody may set it. */
const lookMs = 2_000
const workingMax = 64

/** Publishes the events of all schedules when it is time: in one process of all. */
export function startSchedules(options: SchedulesOptions): Schedules {
  const stop = new AbortController()
  const runs = new Map<string, ScheduleRun>()
  const done = takeTurns(options, runs, stop.signal)
  return {
    done,
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
    failureOf: (schedule) => runs.get(scheduleKeys.of(schedule))?.failure,
  }
}

type Runs = Map<string, ScheduleRun>

async function takeTurns(options: SchedulesOptions, runs: Runs, stop: AbortSignal): Promise<void> {
  for await (const assignment of options.engine.assignments.take("schedules", 1, stop)) {
    const turn = new Turn(options, runs, AbortSignal.any([stop, assignment.lost]))
    await turn.run()
    await assignment.release()
  }
}

/** While this process has the assignment. */
class Turn {
  readonly #options: SchedulesOptions
  readonly #running: Running
  readonly #runs: Runs
  readonly #stop: AbortSignal
  /** Runs that are not at work. */
  readonly #agenda: Agenda<ScheduleRun>
  readonly #working = new Set<Promise<void>>()
  /** All schedules that there were in the beginning are known. Nothing is begun before. */
  #isCurrent = false
  #nap = new AbortController()
  #bug: { readonly error: unknown } | undefined

  constructor(options: SchedulesOptions, runs: Runs, stop: AbortSignal) {
    const { engine, clock, publish, log } = options
    this.#options = options
    this.#running = { engine, clock, publish, troubles: new Troubles(log) }
    this.#runs = runs
    this.#agenda = new Agenda(clock)
    this.#stop = stop
  }

  /** Rejects where the schedules cannot be seen any more, and for bugs. */
  async run(): Promise<void> {
    const end = new AbortController()
    const stop = AbortSignal.any([this.#stop, end.signal])
    const watching = this.#watch(stop).catch((error: unknown) => this.#failed(error))
    try {
      await this.#tend()
    } finally {
      for (const run of this.#runs.values()) run.end()
      await Promise.all(this.#working)
      end.abort()
      await watching
      this.#runs.clear()
    }
    if (this.#bug !== undefined && !this.#stop.aborted) throw this.#bug.error
  }

  async #tend(): Promise<void> {
    while (!this.#stop.aborted && this.#bug === undefined) {
      this.#nap = new AbortController()
      if (this.#isCurrent) await this.#begin()
      const waitMs = this.#isCurrent ? Math.min(lookMs, this.#agenda.waitMs()) : lookMs
      await sleep(this.#options.clock, waitMs, AbortSignal.any([this.#stop, this.#nap.signal]))
    }
  }

  /** Begins what is due, as far as there is room. */
  async #begin(): Promise<void> {
    await this.#agenda.look()
    while (this.#working.size < workingMax && !this.#stop.aborted) {
      const run = this.#agenda.take()
      if (run === undefined) return
      this.#work(run)
    }
  }

  #work(run: ScheduleRun): void {
    const working: Promise<void> = run
      .work()
      .catch((error: unknown) => this.#failed(error))
      .then(() => {
        this.#working.delete(working)
        if (this.#runs.get(scheduleKeys.of(run.schedule)) === run) this.#agenda.put(run, run.wanted)
        this.#wake()
      })
    this.#working.add(working)
  }

  #failed(error: unknown): void {
    this.#bug ??= { error }
    this.#nap.abort()
  }

  #wake(): void {
    if (this.#isCurrent) this.#nap.abort()
  }

  async #watch(stop: AbortSignal): Promise<void> {
    const pace = createPace(this.#options.clock)
    for await (const change of this.#options.engine.catalog.watch<Schedule>(scheduleKeys.prefix, stop)) {
      if (change.kind === "current") await this.#allKnown(stop)
      else if (change.kind === "delete") this.#forget(change.key)
      else this.#take(change.item)
      this.#wake()
      await pace()
    }
  }

  async #allKnown(stop: AbortSignal): Promise<void> {
    this.#isCurrent = true
    this.#wake()
    await this.#sweep(stop)
  }

  #take({ key, value }: Item<Schedule>): void {
    const earlier = this.#runs.get(key)
    if (earlier !== undefined) this.#agenda.remove(earlier)
    const run = new ScheduleRun(this.#running, value, earlier)
    this.#runs.set(key, run)
    this.#agenda.put(run, run.wanted)
  }

  #forget(key: string): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    run.end()
    this.#agenda.remove(run)
    this.#runs.delete(key)
    this.#running.troubles.forget(`schedule ${run.schedule.tenant}/${run.schedule.id}`)
  }

  /**
   * What a schedule left that is not there any more: it was deleted in the middle of a run, or the process died over it. What
   * cannot be swept stays for the next time: it is in nobody's way.
   */
  async #sweep(stop: AbortSignal): Promise<void> {
    const { engine, clock, log } = this.#options
    const keys: string[] = []
    try {
      await scan<unknown>({ engine, clock }, scheduleProgressKeys.prefix, ({ key }) => {
        if (!this.#runs.has(scheduleKeys.at(scheduleProgressKeys.pathIn(key)))) keys.push(key)
        return !stop.aborted
      })
      for (const key of keys) {
        if (stop.aborted) return
        await engine.catalog.delete(key)
      }
    } catch (error) {
      if (stop.aborted) return
      const level = isExpected(error) ? "warn" : "error"
      log[level]({ err: error }, "what deleted schedules left is not swept away; a later start tries it again")
    }
  }
}
