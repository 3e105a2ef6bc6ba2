import { scheduleKeys, scheduleProgressKeys } from "../../core/catalog-keys.ts"
import { scan } from "../../core/catalog-scan.ts"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { ClosedError, ConflictError, OverloadError, StorageError, StorageFullError } from "../../core/errors.ts"
import type { Logger } from "../../core/logger.ts"
import type { Schedule, ScheduleFailure } from "../../core/schedules.ts"
import { Troubles } from "../../core/troubles.ts"
import { type Running, ScheduleRun } from "./run.ts"

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
  readonly #working = new Set<Promise<void>>()
  #nap = new AbortController()
  #bug: { readonly error: unknown } | undefined

  constructor(options: SchedulesOptions, runs: Runs, stop: AbortSignal) {
    const { engine, clock, publish, log } = options
    this.#options = options
    this.#running = { engine, clock, publish, troubles: new Troubles(log) }
    this.#runs = runs
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
      const waitMs = this.#begin()
      await sleep(this.#options.clock, waitMs, AbortSignal.any([this.#stop, this.#nap.signal]))
    }
  }

  /** Begins what is due; answers when there is more to do. */
  #begin(): number {
    let next = lookMs
    for (const run of this.#runs.values()) {
      if (run.isWorking) continue
      const waitMs = run.waitMs()
      if (waitMs > 0) next = Math.min(next, waitMs)
      else if (this.#working.size < workingMax) this.#work(run)
    }
    return next
  }

  #work(run: ScheduleRun): void {
    const working: Promise<void> = run.work().then(
      () => this.#worked(working),
      (error: unknown) => {
        this.#failed(error)
        this.#worked(working)
      },
    )
    this.#working.add(working)
  }

  #worked(working: Promise<void>): void {
    this.#working.delete(working)
    this.#nap.abort()
  }

  #failed(error: unknown): void {
    this.#bug ??= { error }
    this.#nap.abort()
  }

  async #watch(stop: AbortSignal): Promise<void> {
    for await (const change of this.#options.engine.catalog.watch<Schedule>(scheduleKeys.prefix, stop)) {
      if (change.kind === "current") await this.#sweep()
      else if (change.kind === "delete") this.#forget(change.key)
      else {
        const { key, value } = change.item
        this.#runs.set(key, new ScheduleRun(this.#running, value, this.#runs.get(key)))
      }
      this.#nap.abort()
    }
  }

  #forget(key: string): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    run.end()
    this.#runs.delete(key)
    this.#running.troubles.forget(`schedule ${run.schedule.tenant}/${run.schedule.id}`)
  }

  /** What a schedule left that is not there any more: it was deleted in the middle of a run, or the process died over it. */
  async #sweep(): Promise<void> {
    const { engine, clock } = this.#options
    const keys: string[] = []
    try {
      await scan<unknown>({ engine, clock }, scheduleProgressKeys.prefix, ({ key }) => {
        if (!this.#runs.has(scheduleKeys.at(scheduleProgressKeys.pathIn(key)))) keys.push(key)
        return true
      })
      for (const key of keys) await engine.catalog.delete(key)
    } catch (error) {
      const isPassing = [StorageError, StorageFullError, OverloadError, ClosedError, ConflictError].some(
        (kind) => error instanceof kind,
      )
      if (!isPassing) throw error
    }
  }
}
