import type { Assignment } from "../../core/assignments.ts"
import { replayKeys } from "../../core/catalog-keys.ts"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { AssignmentLostError, ClosedError } from "../../core/errors.ts"
import type { Logger } from "../../core/logger.ts"
import type { Fence } from "../../core/positions.ts"
import type { Replay } from "../../core/resources.ts"
import { replayReaderOf } from "../../core/routing.ts"
import { Troubles } from "../../core/troubles.ts"
import { isRetried, persist, type RetryContext, rereadAfterMs, StoppedError } from "../persist.ts"
import { giveUp, runReplay } from "./run.ts"

/** The kind of assignment that lets a process make replays. */
const assignmentKind = "replay"
/** Replays that are made at a time, of all tenants and of one; others wait. One that waits for its destination is one of them. */
const [runningMax, runningOfTenantMax] = [256, 16]

export interface ReplaysOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly log: Logger
}

/** Makes what is asked for again of the past: in one process of all. */
export function startReplays(options: ReplaysOptions): { readonly done: Promise<void>; stop(): Promise<void> } {
  const stop = new AbortController()
  const done = take(options, stop)
  return {
    done,
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}

async function take(options: ReplaysOptions, stop: AbortController): Promise<void> {
  for await (const assignment of options.engine.assignments.take(assignmentKind, 1, stop.signal)) {
    const replays = new Replays(options, assignment, stop)
    await replays.run()
    await assignment.release()
    if (replays.failure) throw replays.failure.error
  }
}

interface Running {
  readonly tenant: string
  readonly stop: AbortController
  readonly over: Promise<void>
}

/** The replays, while they are this process's. */
class Replays {
  readonly #options: ReplaysOptions
  readonly #fence: Fence
  readonly #stopAll: AbortController
  readonly #lost: AbortSignal
  readonly #troubles: Troubles
  readonly #waiting = new Map<string, Replay>()
  readonly #running = new Map<string, Running>()
  failure: { readonly error: unknown } | undefined

  constructor(options: ReplaysOptions, assignment: Assignment, stop: AbortController) {
    this.#options = options
    this.#fence = { name: `${assignmentKind}/${assignment.number}`, epoch: assignment.epoch }
    this.#stopAll = stop
    this.#lost = AbortSignal.any([stop.signal, assignment.lost])
    this.#troubles = new Troubles(options.log)
  }

  async run(): Promise<void> {
    const { engine, clock, log } = this.#options
    const claiming = { clock, log, troubles: this.#troubles, stop: this.#lost }
    try {
      await persist(claiming, "claiming the replays", () => engine.queue.claim(this.#fence))
    } catch (error) {
      if (isOfTheEnd(error)) return
      throw error
    }
    for await (const change of engine.catalog.watch<Replay>(replayKeys.prefix, this.#lost)) {
      if (change.kind === "put") this.#changed(change.item.key, change.item.value)
      else if (change.kind === "delete") this.#deleted(change.key)
    }
    for (const { stop } of this.#running.values()) stop.abort()
    await Promise.all([...this.#running.values()].map(({ over }) => over))
  }

  #changed(key: string, replay: Replay): void {
    if (replay.state === "counting" || replay.state === "running") {
      if (!this.#running.has(key)) this.#waiting.set(key, replay)
      this.#start()
    } else {
      this.#gone(key)
    }
  }

  #gone(key: string): void {
    this.#waiting.delete(key)
    this.#running.get(key)?.stop.abort()
  }

  #deleted(key: string): void {
    this.#gone(key)
    if (!this.#running.has(key)) this.#forget(key)
  }

  #forget(key: string): void {
    this.#options.engine.queue.forget(replayReaderOf(key)).catch((error: unknown) => {
      this.#options.log.warn({ err: error, replay: replayKeys.pathIn(key) }, "the place of a replay that is gone stays")
    })
  }

  #start(): void {
    for (const [key, replay] of this.#waiting) {
      if (this.#running.size >= runningMax || this.#lost.aborted) return
      const ofTenant = [...this.#running.values()].filter(({ tenant }) => tenant === replay.tenant)
      if (ofTenant.length >= runningOfTenantMax) continue
      this.#waiting.delete(key)
      const stop = new AbortController()
      const over = this.#make(replay, stop).finally(() => {
        this.#running.delete(key)
        void this.#lookAgain(key)
        this.#start()
      })
      this.#running.set(key, { tenant: replay.tenant, stop, over })
    }
  }

  async #make(replay: Replay, stop: AbortController): Promise<void> {
    const { engine, clock, log } = this.#options
    const retrying = { clock, log, troubles: this.#troubles, stop: AbortSignal.any([this.#lost, stop.signal]) }
    const context = { engine, retrying, fence: this.#fence }
    try {
      await againWhilePassing(retrying, `making the replay ${replay.tenant}/${replay.id}`, () =>
        runReplay(replay, context),
      )
    } catch (error) {
      if (retrying.stop.aborted || isOfTheEnd(error)) return
      log.error({ err: error, replay: `${replay.tenant}/${replay.id}` }, "a replay cannot go on, and is cancelled")
      await giveUp(replay, context, error).catch((failure: unknown) => {
        if (retrying.stop.aborted || isOfTheEnd(failure)) return
        this.failure ??= { error: failure }
        this.#stopAll.abort()
      })
    }
  }

  /** One that was paused and resumed while it was just ending goes on. */
  async #lookAgain(key: string): Promise<void> {
    const { engine, clock, log } = this.#options
    const retrying = { clock, log, troubles: this.#troubles, stop: this.#lost }
    try {
      const item = await persist(retrying, "looking at a replay", () =>
        engine.catalog.get<Replay>(key, { newest: true }),
      )
      if (item && !this.#running.has(key)) this.#changed(key, item.value)
      if (item === undefined) this.#forget(key)
    } catch (error) {
      if (!isOfTheEnd(error)) log.error({ err: error }, "a replay could not be looked at")
    }
  }
}

/** What cannot be read now may be later: then it goes on from its saved place. */
async function againWhilePassing(retrying: RetryContext, what: string, work: () => Promise<void>): Promise<void> {
  // Ends: it is done, stopped, or fails for good; meanwhile it rests.
  for (;;) {
    try {
      await work()
      return retrying.troubles.over(what)
    } catch (error) {
      if (!isRetried(error) || retrying.stop.aborted) throw error
      retrying.troubles.met(what, `${what} failed; it is tried again until it works`, { err: error })
      await sleep(retrying.clock, rereadAfterMs, retrying.stop)
    }
  }
}

function isOfTheEnd(error: unknown): boolean {
  return error instanceof StoppedError || error instanceof ClosedError || error instanceof AssignmentLostError
}
