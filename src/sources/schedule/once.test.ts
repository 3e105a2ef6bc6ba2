import fc from "fast-check"
import { expect, test } from "vitest"
import { scheduleKeys } from "../../core/catalog-keys.ts"
import type { Engine } from "../../core/engine.ts"
import { PublishRefusedError } from "../../core/errors.ts"
import { type Missed, misseds, type Schedule } from "../../core/schedules.ts"
import type { Power } from "../../testing/power.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../../testing/simulated-machine.ts"
import { startSchedules } from "./loop.ts"

/*
 * Whatever becomes of the process, the clock and the disk: with `all` each run is there once, with the others none is there twice,
 * and none ever is that is no run. Nothing that is stored is recognised as a repeat: the schedules themselves see to it.
 */

const everyMs = 5_000

class Life {
  readonly #machine: SimulatedMachine
  readonly #missed: Missed
  #engine: Engine | undefined
  #power: Power | undefined
  #refusing = false
  #since = 0
  /** The latest time that the clock has shown while a process could see it. */
  latest = 0

  constructor(seed: number, missed: Missed) {
    this.#machine = createSimulatedMachine(seed, 5)
    this.#missed = missed
  }

  async boot(): Promise<void> {
    const { engine, power } = await this.#machine.boot()
    ;[this.#engine, this.#power] = [engine, power]
    const loop = startSchedules({
      ...{ engine, clock: power.clock, log: { info() {}, warn() {}, error() {} } },
      publish: async (address, event) => {
        if (this.#refusing) throw new PublishRefusedError("not now")
        await engine.log.append(address, [event], { dedupeWindowMs: 0 })
      },
    })
    loop.done.catch(() => {})
  }

  async make(): Promise<void> {
    const at = this.#machine.clock.now()
    this.#since = at
    this.latest = at
    const schedule: Schedule = {
      ...{ id: "s", tenant: "t", incarnation: "i", labels: {}, topic: "orders", event: { type: "t" } },
      ...{ timeZone: "UTC", twice: "first", absent: "moved", missed: this.#missed },
      ...{ intervalMs: everyMs, anchor: at, since: at, createdAt: at, updatedAt: at },
    }
    await this.#machine.run(this.#engine!.catalog.put(scheduleKeys.of(schedule), schedule))
  }

  async pass(ms: number): Promise<void> {
    await this.#machine.clock.advance(ms)
    this.latest = Math.max(this.latest, this.#machine.clock.now())
  }

  async crash(afterMs: number, downMs: number): Promise<void> {
    await this.#machine.clock.advance(afterMs)
    this.#power!.cut()
    await this.#machine.clock.advance(downMs)
    await this.boot()
  }

  /** Where the schedule has come to a run, one that dies right then. */
  async crashAtRun(steps: number): Promise<void> {
    const { clock } = this.#machine
    const next = everyMs - ((clock.now() - this.#since) % everyMs)
    await this.pass(Math.max(0, next - 1))
    for (let i = 0; i < steps; i++) clock.step()
    await this.crash(0, 10)
  }

  set(ms: number): void {
    this.#machine.clock.set(ms)
  }

  refuse(refusing: boolean): void {
    this.#refusing = refusing
  }

  /** Until there is nothing left to make up for. */
  async settle(): Promise<void> {
    this.#refusing = false
    const behindMs = this.latest - this.#machine.clock.now()
    await this.pass(Math.max(0, behindMs) + 60_000)
  }

  async check(): Promise<void> {
    const runs: number[] = []
    const read = async () => {
      for await (const { events } of this.#engine!.log.read({ where: { tenant: "t", topic: "orders" } })) {
        for (const { event } of events) runs.push((Date.parse(String(event.attribute("time"))) - this.#since) / everyMs)
      }
    }
    await this.#machine.run(read())
    expect(runs).toEqual([...new Set(runs)].sort((a, b) => a - b))
    expect(runs.every((run) => Number.isInteger(run) && run > 0)).toBe(true)
    const last = Math.floor((this.latest - this.#since) / everyMs)
    expect(last - runs.at(-1)!).toBeLessThanOrEqual(1)
    if (this.#missed === "all") expect(runs).toEqual(Array.from({ length: runs.length }, (_, i) => i + 1))
  }
}

type Step = (life: Life) => Promise<void> | void

function told(name: string, run: Step): Step {
  return Object.assign((life: Life) => run(life), { toString: () => name })
}

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.integer({ min: 1, max: 30_000 }).map((ms) => told(`pass ${ms}`, (life) => life.pass(ms))),
  fc
    .tuple(fc.integer({ min: 0, max: 6_000 }), fc.integer({ min: 1, max: 70_000 }))
    .map(([after, down]) => told(`crash after ${after} for ${down}`, (life) => life.crash(after, down))),
  fc.integer({ min: 0, max: 12 }).map((steps) => told(`crash at a run ${steps}`, (life) => life.crashAtRun(steps))),
  fc.integer({ min: -100_000, max: 100_000 }).map((ms) => told(`set ${ms}`, (life) => life.set(ms))),
  fc.boolean().map((refusing) => told(`refuse ${refusing}`, (life) => life.refuse(refusing))),
)

test.each(misseds)(
  "with %s, a run is not made twice where the process died right after it and the clock was set back",
  async (missed) => {
    for (let steps = 0; steps <= 12; steps++) {
      const life = new Life(60, missed)
      await life.boot()
      await life.make()
      life.set(12_995)
      await life.crashAtRun(steps)
      life.set(-76)
      await life.settle()
      await life.check()
    }
  },
)

test("each run is there once, and none twice, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 1_000 }),
      fc.constantFrom(...misseds),
      fc.array(step, { minLength: 1, maxLength: 12 }),
      async (seed, missed, steps) => {
        const life = new Life(seed, missed)
        await life.boot()
        await life.make()
        for (const each of steps) await each(life)
        await life.settle()
        await life.check()
      },
    ),
    { numRuns: 60 },
  )
}, 60_000)
