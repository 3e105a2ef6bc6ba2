import { replayKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { Chance, Clock } from "../core/clock.ts"
import type { Lease } from "../core/deliveries.ts"
import type { Delivery, TriggerName } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { LeaseLostError } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"
import type { Replay, Trigger } from "../core/resources.ts"
import { Backlog } from "../deliver/backlog.ts"
import type { Preparing } from "../deliver/conclude.ts"
import { type DeliveryObserver, Gate } from "../deliver/hub.ts"
import { Records } from "../deliver/records.ts"
import { Telling } from "../deliver/telling.ts"
import { Given } from "./given.ts"

export interface WorkQueuesOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly chance: Chance
  readonly log: Logger
  readonly observe: DeliveryObserver
  /** The hub is stopping. */
  readonly stop: AbortSignal
}

/** What work queues need of the delivery of events. */
export interface Desk extends Preparing {
  readonly directory: Pick<Triggers, "trigger" | "replay" | "keepsBack" | "isPaused">
  /** Events that need not be read again. */
  readonly given: Given
  readonly records: Records
  readonly telling: Telling
  /** Begins the lease's time anew; answers false where it is lost. Throws what the queue throws. */
  extend(lease: Lease, leaseMs: number): Promise<boolean>
}

/** Has the parts of one hub together. */
export function createDesk({ engine, clock, log, observe, stop }: WorkQueuesOptions): Desk {
  const { anywhere } = engine.queue
  const directory = new Triggers(engine)
  const gate = new Gate(anywhere, clock, log)
  const telling = new Telling(clock, log, engine.queue)
  stop.addEventListener("abort", () => {
    gate.stopped = true
    telling.close()
  })
  return {
    ...{ engine, clock, observe, directory, telling },
    given: new Given(),
    backlog: new Backlog(engine.queue, directory),
    records: new Records({ log: engine.log, clock, logger: log, lost: () => observe.recordLost?.() }),
    // Whoever asked is told what failed, and asks again.
    gate: {
      end: (lease, ending) => unlessLost(anywhere.end(lease, ending)),
      persist: (what, work) => gate.persist(what, work),
      trouble: (error, what) => gate.trouble(error, what),
    },
    extend: (lease, leaseMs) => unlessLost(anywhere.extend(lease, leaseMs)),
  }
}

/**
 * The desk for what is asked for several deliveries at once: their triggers are read once, now. Where one cannot be, each delivery
 * asks for it by itself.
 */
export async function deskFor(desk: Desk, leases: readonly (Lease | undefined)[]): Promise<Desk> {
  const known = new Map<string, Trigger | undefined>()
  const asked = new Map(leases.flatMap((lease) => (lease ? [[nameOf(lease.delivery), lease.delivery] as const] : [])))
  for (const [name, delivery] of asked) {
    try {
      known.set(name, await desk.directory.trigger(delivery))
    } catch {
      // Whoever needs it is told.
    }
  }
  const { directory } = desk
  return {
    ...desk,
    directory: {
      trigger: async (of) => (known.has(nameOf(of)) ? known.get(nameOf(of)) : directory.trigger(of)),
      replay: (delivery) => directory.replay(delivery),
      keepsBack: () => directory.keepsBack(),
      isPaused: () => directory.isPaused(),
    },
  }
}

function nameOf({ tenant, trigger, incarnation }: TriggerName): string {
  return `${tenant}/${trigger}.${incarnation}`
}

/** Triggers as the catalog has them at the time: to be asked costs it little, and nothing is kept of them. */
class Triggers {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  async trigger({ tenant, trigger, incarnation }: TriggerName): Promise<Trigger | undefined> {
    const key = triggerKeys.at(`${tenant}/${trigger}`)
    const found = (await this.#engine.catalog.get<Trigger>(key, { newest: true }))?.value
    return found !== undefined && (found.incarnation ?? "") === incarnation ? found : undefined
  }

  async replay({ tenant, replay: id = "" }: Delivery): Promise<Replay | undefined> {
    return (await this.#engine.catalog.get<Replay>(replayKeys.of({ tenant, id })))?.value
  }

  keepsBack(): boolean {
    return false
  }

  isPaused(): boolean {
    return false
  }
}

async function unlessLost(call: Promise<void>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (error instanceof LeaseLostError) return false
    throw error
  }
}
