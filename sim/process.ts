import { sleep } from "../src/core/clock.ts"
import { StorageFullError } from "../src/core/errors.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import { createPower, type Power } from "../src/testing/power.ts"
import type { Hub } from "./hub.ts"
import { openHub } from "./hub.ts"
import { type Disturbance, InvariantError } from "./record.ts"
import { checkCatalog } from "./triggers.ts"
import type { World } from "./world.ts"

/** After it is up again, a hub may take this long before invariant 6 holds it to its speed. */
export const graceMs = 2_000

/** What came of asking the hub: its answer, its refusal, or neither because it died meanwhile. */
export type Asked<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "refused"; readonly error: Error }
  | { readonly kind: "lost" }

/** The hub's process, again and again: it dies at any step and is started anew on what it left. */
export interface Processes {
  /** Asks the hub that runs, or the next one. */
  ask<T>(what: string, question: (hub: Hub) => Promise<T>): Promise<Asked<T>>
  /** Cuts the power of the process after so many more steps; undefined: not any more. */
  cutAfter(steps: number | undefined): void
  /** Stops the process in good order; the next one starts by itself. */
  restart(): Promise<void>
  /** Ends it all. */
  end(): void
}

/** Starts the first process. */
export function startProcesses(world: World, chance: SimulatedChance): Processes {
  const { clock, trace, record } = world
  let hub: Hub | undefined
  let power: Power | undefined
  let died: Promise<void> = Promise.resolve()
  let stepsLeft: number | undefined
  let waiting: (() => void)[] = []
  let ended = false

  const watch = (what: string, of: Power) => {
    trace.line(what)
    if (stepsLeft === undefined || --stepsLeft > 0) return
    stepsLeft = undefined
    trace.line("POWER CUT")
    record.count("crashes")
    of.cut()
  }
  const notice = (error: Error) => (error instanceof InvariantError ? world.violate(error) : world.fail(error))
  const boot = async (incarnation: number) => {
    const disturbance: Disturbance = { from: clock.now(), to: Number.POSITIVE_INFINITY }
    record.disturbances.push(disturbance)
    const started = createPower({ clock, watch })
    power = started
    const cut = new Promise<void>((resolve) => started.onCut(resolve))
    died = cut
    const opening = openHub(world, started, incarnation).catch((error: Error) => {
      if (!(error instanceof StorageFullError)) throw error
      // A start may need room; whoever keeps the process running tries again.
      trace.line(`hub ${incarnation} does not start: ${error.message}`)
      started.cut()
    })
    started.onCut(() => record.crashed(world.store.applied))
    const opened = await Promise.race([opening, cut])
    if (opened) {
      await Promise.race([checkCatalog(record, opened.engine.catalog).catch(notice), cut])
    }
    if (opened && started.on) {
      trace.line(`hub ${incarnation} is up`)
      hub = opened
      for (const resolve of waiting.splice(0)) resolve()
      disturbance.to = clock.now() + graceMs
    }
    await cut
    hub = undefined
    if (ended) return
    record.disturbances.push({ from: clock.now(), to: clock.now() + graceMs })
    await sleep(clock, chance.between(0, 3_000))
    disturbance.to = Math.min(disturbance.to, clock.now())
    boot(incarnation + 1).catch(world.fail)
  }
  boot(1).catch(world.fail)

  return {
    async ask(what, question) {
      while (!hub) await new Promise<void>((resolve) => waiting.push(resolve))
      const asked = hub
      trace.line(`ask ${what}`)
      const answer = question(asked).then(
        (value) => ({ kind: "answered" as const, value }),
        (error: Error) => ({ kind: "refused" as const, error }),
      )
      const result = await Promise.race([answer, died.then(() => ({ kind: "lost" as const }))])
      return asked.alive() ? result : { kind: "lost" }
    },
    cutAfter(steps) {
      stepsLeft = steps
    },
    async restart() {
      const [stopping, its] = [hub, power]
      if (!stopping || !its) return
      trace.line("restart")
      record.count("restarts")
      record.disturbances.push({ from: clock.now(), to: Number.POSITIVE_INFINITY })
      const disturbance = record.disturbances.at(-1)!
      hub = undefined
      const closed = stopping.close().then(
        () => true,
        (error: Error) => {
          // A full store may refuse its last writes; what they were about is found again at the next start.
          if (!(error instanceof StorageFullError)) throw error
          return false
        },
      )
      const whole = await Promise.race([closed, died])
      disturbance.to = clock.now()
      if (whole && world.store.applied !== world.store.onDisk) {
        world.violate(new InvariantError(2, "a hub that was closed left state that was not durable"))
      }
      its.cut()
    },
    end() {
      ended = true
      power?.cut()
      waiting = []
    },
  }
}
