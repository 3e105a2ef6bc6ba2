import type { Engine } from "../core/engine.ts"
import { openEmbeddedEngine } from "../engines/embedded/engine.ts"
import { createSimulatedChance, type SimulatedChance } from "./chance.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "./clock.ts"
import { createSimulatedDisk, type SimulatedDisk } from "./disk.ts"
import { createPower, type Power } from "./power.ts"
import { startMs } from "./samples.ts"
import { createSimulatedStore } from "./store.ts"

/** The embedded engine on a simulated machine, for tests of what stands on it. */
export interface SimulatedMachine {
  readonly clock: SimulatedClock
  readonly chance: SimulatedChance
  readonly disk: SimulatedDisk
  /** Starts a process: its power, and the engine on what the last one left. */
  boot(): Promise<{ readonly power: Power; readonly engine: Engine }>
  /** Moves time on until `work` is over. */
  run<T>(work: Promise<T>): Promise<T>
  /** Moves time on until `condition` holds; throws after `withinMs`. */
  until(condition: () => boolean | Promise<boolean>, withinMs?: number): Promise<void>
}

/** `diskMs`: how long each write to the log takes. */
export function createSimulatedMachine(seed: string | number = 1, diskMs = 0.1): SimulatedMachine {
  const clock = createSimulatedClock(startMs)
  const chance = createSimulatedChance(seed, clock)
  const disk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => diskMs })
  const store = createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 })
  const machine: SimulatedMachine = {
    clock,
    chance,
    disk,
    async boot() {
      const power = createPower({ clock })
      const parts = { disk: disk.mount(power), store: store.mount(power), clock: power.clock }
      return {
        power,
        engine: await machine.run(openEmbeddedEngine({ ...parts, segmentBytes: 1 << 20, reserveBytes: 0 })),
      }
    },
    async run(work) {
      let over = false
      const end = () => {
        over = true
      }
      work.then(end, end)
      for (await quiesce(); !over; await quiesce()) {
        if (!clock.step()) throw new Error("nothing is left to wait for, and the work is not over")
      }
      return work
    },
    async until(condition, withinMs = 600_000) {
      const end = clock.now() + withinMs
      await quiesce()
      while (!(await condition())) {
        if (clock.now() > end || !clock.step()) throw new Error("what was waited for has not come")
        await quiesce()
      }
    },
  }
  return machine
}
