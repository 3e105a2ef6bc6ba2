import type { Address } from "../src/core/address.ts"
import type { Appended, AppendOptions, DeliveryQueue, Engine } from "../src/core/engine.ts"
import type { Event } from "../src/core/event.ts"
import type { Logger } from "../src/core/logger.ts"
import { startDelivery } from "../src/deliver/worker.ts"
import { openEmbeddedEngine } from "../src/engines/embedded/engine.ts"
import { startRouter } from "../src/route/router.ts"
import type { Power } from "../src/testing/power.ts"
import { observeQueue } from "./observe.ts"
import type { World } from "./world.ts"

/** One life of the hub: the real engine, router and delivery on what the world has of disk, store, network and time. */
export interface Hub {
  readonly engine: Engine
  /** The engine's queue, watched. */
  readonly queue: DeliveryQueue
  publish(address: Address, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]>
  alive(): boolean
  close(): Promise<void>
}

/** Small, so that a run fills and leaves several. */
const segmentBytesOf = [32 * 1024, 128 * 1024] as const

/** Shorter than in life, so that leases lapse and slots run out within a run. */
const limits = { inFlightMax: 64, leaseMs: 15_000, attemptMsMax: 20_000, stopMs: 3_000 }

export async function openHub(world: World, power: Power, incarnation: number): Promise<Hub> {
  const { clock } = power
  const segmentBytes = segmentBytesOf[world.seed % 2]!
  const opened = await openEmbeddedEngine({
    disk: world.disk.mount(power),
    store: world.store.mount(power),
    clock,
    segmentBytes,
    pendingBytesMax: 1 << 20,
    reserveBytes: segmentBytes,
  })
  const alive = () => power.on
  const queue = observeQueue({
    ...{ record: world.record, trace: world.trace, clock, alive },
    queue: opened.queue,
    storeCalls: () => world.store.applied,
    stutter: stutterer(world, power, incarnation),
    onViolation: world.violate,
  })
  const engine: Engine = { ...opened, queue }
  const log = logger(world)
  const chance = world.chance.fork(`hub ${incarnation}`)
  const router = startRouter({ engine, clock, log })
  const kind = world.network.kind(power)
  const delivery = startDelivery({
    ...{ engine, clock, chance, log, limits },
    kinds: new Map([[kind.kind, kind]]),
    publish: async (address, event) => void (await engine.log.append(address, [event])),
  })
  router.done.catch(world.fail)
  delivery.done.catch(world.fail)
  return {
    engine,
    queue,
    publish: (address, events, options) => engine.log.append(address, events, options),
    alive,
    async close() {
      await router.stop()
      await delivery.stop()
      await opened.close()
    },
  }
}

function stutterer({ chance, trace }: World, { clock }: Power, incarnation: number) {
  const its = chance.fork(`stutter ${incarnation}`)
  return (again: () => Promise<void>) => {
    if (!its.happens(0.05)) return
    clock.after(200 * its.next(), () => {
      trace.line("enqueues again")
      again().catch((error: Error) => trace.line(`refused: ${error.name}`))
    })
  }
}

function logger({ trace }: World): Logger {
  const line = (level: string) => (_fields: object, text: string) => trace.line(`${level}: ${text}`)
  return { info: line("info"), warn: line("warn"), error: line("error") }
}
