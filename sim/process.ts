import { sleep } from "../src/core/clock.ts"
import { StorageFullError } from "../src/core/errors.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import { createPower, type Power } from "../src/testing/power.ts"
import type { StoreCopy } from "../src/testing/store.ts"
import { harmSomething } from "./damage.ts"
import type { Hub } from "./hub.ts"
import { openHub } from "./hub.ts"
import { checkResources } from "./models.ts"
import type { Operations } from "./operations.ts"
import { type Disturbance, InvariantError } from "./record.ts"
import type { World } from "./world.ts"

/** After it is up again, a hub may take this long before invariant 6 holds it to its speed. */
const graceMs = 2_000

const damages = ["none", "none", "none", "lost", "older"] as const

/** What came of asking the hub: its answer, its refusal, or neither because it died meanwhile. */
export type Asked<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "refused"; readonly error: Error }
  | { readonly kind: "lost" }

/** The hub's process, again and again: it dies at any step and is started anew on what it left. */
export class Processes {
  readonly #world: World
  readonly #operations: Operations
  readonly #chance: SimulatedChance
  #hub: Hub | undefined
  #power: Power | undefined
  #died: Promise<void> = Promise.resolve()
  #stepsLeft: number | undefined
  #waiting: (() => void)[] = []
  #ended = false
  /** What the store once was. */
  #copy: StoreCopy | undefined

  /** Starts the first process. */
  constructor(world: World, operations: Operations, chance: SimulatedChance) {
    this.#world = world
    this.#operations = operations
    this.#chance = chance
    this.#boot(1).catch(world.fail)
  }

  /** Asks the hub that runs, or the next one. */
  async ask<T>(what: string, question: (hub: Hub) => Promise<T>): Promise<Asked<T>> {
    // Ends: a hub comes up, or the run ends by its limit.
    while (!this.#hub) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    const hub = this.#hub
    this.#world.trace.line(`ask ${what}`)
    const answer = question(hub).then(
      (value) => ({ kind: "answered" as const, value }),
      (error: Error) => ({ kind: "refused" as const, error }),
    )
    const result = await Promise.race([answer, this.#died.then(() => ({ kind: "lost" as const }))])
    return hub.alive() ? result : { kind: "lost" }
  }

  /** Cuts the power of the process after so many more steps; undefined: not any more. */
  cutAfter(steps: number | undefined): void {
    this.#stepsLeft = steps
  }

  /** Stops the process in good order; the next one starts by itself. */
  async restart(): Promise<void> {
    const { clock, trace, record, store, violate } = this.#world
    const [hub, power] = [this.#hub, this.#power]
    if (!hub || !power) return
    trace.line("restart")
    record.count("restarts")
    const disturbance: Disturbance = { from: clock.now(), to: Number.POSITIVE_INFINITY }
    record.disturbances.push(disturbance)
    this.#hub = undefined
    const closed = hub.close().then(
      () => true,
      (error: Error) => {
        // A full store may refuse its last writes; what they were about is found again at the next start.
        if (!(error instanceof StorageFullError)) throw error
        return false
      },
    )
    const whole = await Promise.race([closed, this.#died])
    disturbance.to = clock.now()
    if (whole && store.applied !== store.onDisk) {
      violate(new InvariantError(2, "a hub that was closed left state that was not durable"))
    }
    power.cut()
  }

  /** Ends it all. */
  end(): void {
    this.#ended = true
    this.#power?.cut()
    this.#waiting = []
  }

  async #boot(incarnation: number): Promise<void> {
    const { clock, record } = this.#world
    const disturbance: Disturbance = { from: clock.now(), to: Number.POSITIVE_INFINITY }
    record.disturbances.push(disturbance)
    const power = createPower({ clock, watch: (what, power) => this.#watch(what, power) })
    const died = new Promise<void>((resolve) => power.onCut(resolve))
    this.#power = power
    this.#died = died
    await this.#open(power, died, incarnation)
    if (this.#hub) disturbance.to = clock.now() + graceMs
    await died
    this.#hub = undefined
    if (this.#ended) return
    record.disturbances.push({ from: clock.now(), to: clock.now() + graceMs })
    await sleep(clock, this.#chance.between(0, 3_000))
    disturbance.to = Math.min(disturbance.to, clock.now())
    this.#damage()
    this.#boot(incarnation + 1).catch(this.#world.fail)
  }

  /** While nothing runs, the state beside the log is lost, or an older one comes back: all of it follows from the log. */
  #damage(): void {
    const { store, trace, record } = this.#world
    const copy = this.#copy
    this.#damageLog()
    if (this.#chance.happens(0.3)) this.#copy = store.copy()
    const what = this.#chance.pick(damages)
    if (what === "none" || (what === "older" && copy === undefined)) return
    trace.line(`the state is ${what}`)
    record.count(`state ${what}`)
    if (what === "lost") store.lose()
    else store.restore(copy!)
  }

  /** The log's files are not what they were, in some runs. */
  #damageLog(): void {
    const { disk, trace, record, damagesLog } = this.#world
    const harm = damagesLog && this.#chance.happens(0.7) ? harmSomething(disk, this.#chance, record.damage) : undefined
    if (harm === undefined) return
    trace.line(`${harm.kind}: ${harm.what}`)
    record.count(harm.kind)
    record.damage.does(harm)
  }

  /** Sets the hub, unless the process dies before it is there. */
  async #open(power: Power, died: Promise<void>, incarnation: number): Promise<void> {
    const { trace, record, violate, fail, clock } = this.#world
    const opening = openHub(this.#world, power, incarnation).catch((error: Error) => {
      if (!(error instanceof StorageFullError)) throw error
      // A start may need room; whoever keeps the process running tries again.
      trace.line(`hub ${incarnation} does not start: ${error.message}`)
      power.cut()
    })
    power.onCut(() => record.crashed(clock.steady()))
    const hub = await Promise.race([opening, died])
    if (!hub) return
    const notice = (error: Error) => (error instanceof InvariantError ? violate(error) : fail(error))
    await Promise.race([checkResources(this.#world, hub, this.#operations).catch(notice), died])
    if (!power.on) return
    trace.line(`hub ${incarnation} is up`)
    for (const line of hub.engine.health()) record.damage.hear(line)
    this.#hub = hub
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #watch(what: string, power: Power): void {
    const { trace, record } = this.#world
    trace.line(what)
    if (this.#stepsLeft === undefined || --this.#stepsLeft > 0) return
    this.#stepsLeft = undefined
    trace.line("POWER CUT")
    record.count("crashes")
    power.cut()
  }
}
