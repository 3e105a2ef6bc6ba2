import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { type Attributes, Event } from "../core/event.ts"
import type { Logger } from "../core/logger.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import { openEmbeddedEngine } from "../engines/embedded/engine.ts"
import { createSimulatedChance, type SimulatedChance } from "./chance.ts"
import { createSimulatedClock, quiesce, type SimulatedClock } from "./clock.ts"
import { createSimulatedDisk, type SimulatedDisk } from "./disk.ts"
import { createPower, type Power } from "./power.ts"
import { createSimulatedStore } from "./store.ts"

/** The embedded engine on a simulated machine, for tests of what stands on it. */
export interface Rig {
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

const startMs = Date.UTC(2030, 0, 1)

/** `diskMs`: how long each write to the log takes. */
export function createRig(seed: string | number = 1, diskMs = 0.1): Rig {
  const clock = createSimulatedClock(startMs)
  const chance = createSimulatedChance(seed, clock)
  const disk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => diskMs })
  const store = createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 })
  const rig: Rig = {
    clock,
    chance,
    disk,
    async boot() {
      const power = createPower({ clock })
      const parts = { disk: disk.mount(power), store: store.mount(power), clock: power.clock }
      return { power, engine: await rig.run(openEmbeddedEngine({ ...parts, segmentBytes: 1 << 20, reserveBytes: 0 })) }
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
  return rig
}

/** What a logger in memory was told. */
export interface MemoryLog extends Logger {
  /** Above `info`, with their level. */
  readonly lines: string[]
  /** Of those lines, what goes with them. */
  readonly fields: object[]
  readonly infos: string[]
  readonly debugs: string[]
}

/** A logger that keeps what it is told. */
export function createMemoryLog(): MemoryLog {
  const [lines, fields, infos, debugs]: [string[], object[], string[], string[]] = [[], [], [], []]
  const line = (level: string) => (more: object, text: string) => {
    lines.push(`${level}: ${text}${"err" in more ? `: ${more.err}` : ""}`)
    fields.push(more)
  }
  return {
    ...{ lines, fields, infos, debugs },
    debug: (_, text) => void debugs.push(text),
    info: (_, text) => void infos.push(text),
    warn: line("warn"),
    error: line("error"),
  }
}

export const ordersAddress: Address = { tenant: "default", topic: "orders" }

export function createEvent(id: string, attributes: Partial<Attributes> = {}): Event {
  const known = { specversion: "1.0", id, source: "/rig", type: "order.created" }
  return Event.of({ ...known, ...attributes } as Attributes, new TextEncoder().encode(`{"id":"${id}"}`), "json")
}

export function createTrigger(id: string, from: Cursor, rest: Partial<Trigger> = {}): Trigger {
  return {
    id,
    tenant: "default",
    createdAt: startMs,
    updatedAt: startMs,
    labels: {},
    topic: "orders",
    filters: [],
    destination: "there",
    retry: { delaysMs: [1_000], jitter: 0, attemptsMax: 3, ageMaxMs: 86_400_000 },
    from,
    ...rest,
  }
}

export function createDestination(id: string, rest: Partial<Destination> = {}): Destination {
  return {
    id,
    tenant: "default",
    createdAt: startMs,
    updatedAt: startMs,
    labels: {},
    kind: "test",
    config: {},
    concurrency: 32,
    signingKeys: [],
    ...rest,
  }
}
