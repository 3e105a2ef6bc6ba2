import type { Address } from "../src/core/address.ts"
import type { Cursor } from "../src/core/cursor.ts"
import type { DestinationKind } from "../src/core/destination.ts"
import type { Engine } from "../src/core/engine.ts"
import type { Event } from "../src/core/event.ts"
import type { Logger } from "../src/core/logger.ts"
import type { DeliveryQueue } from "../src/core/queue.ts"
import { queueKind } from "../src/destinations/queue/kind.ts"
import { openEmbeddedEngine } from "../src/engines/embedded/engine.ts"
import { startHub } from "../src/hub.ts"
import type { Published } from "../src/ingest/publish.ts"
import type { Refusal } from "../src/ingest/refusal.ts"
import type { Power } from "../src/testing/power.ts"
import { type Answer, answerOf, type Call, injectionOf } from "./calls.ts"
import { watchDrops } from "./dropping.ts"
import { watchEdits } from "./edits.ts"
import { observeQueue } from "./observe.ts"
import { dedupeWindowMs } from "./scenario.ts"
import { sharedApp } from "./shared-app.ts"
import { sharesOf } from "./shares.ts"
import type { World } from "./world.ts"

/** One life of the hub: all its real parts, on what the world has of disk, store, network and time. */
export interface Hub {
  readonly engine: Engine
  /** The engine's queue, watched. */
  readonly queue: DeliveryQueue
  publish(
    address: Address,
    events: readonly Event[],
    expectedLast?: Cursor | "none",
  ): Promise<readonly Published[] | Refusal>
  /** Asks the API. */
  call(request: Call): Promise<Answer>
  alive(): boolean
  close(): Promise<void>
}

/** Small, so that a run fills and leaves several. */
const segmentBytesOf = [32 * 1024, 128 * 1024] as const

/** So that the journal of the state is written anew now and then, or often. */
const compactBytesOf = [8 * 1024, 64 * 1024, 512 * 1024] as const

/** Shorter than in life, so that leases lapse and slots run out within a run. */
const limits = {
  ingest: { eventBytesMax: 1 << 20 },
  route: { sharedEnqueueMax: 3 },
  delivery: { inFlightMax: 32, leaseMs: 15_000, attemptMsMax: 20_000, stopMs: 3_000 },
}

/** Between two rounds of retention. */
export const retentionEveryMs = 1_500

/** The key of whoever runs the hub. */
export const operatorTenant = "operator"

export async function openHub(world: World, power: Power, incarnation: number): Promise<Hub> {
  const { clock } = power
  const engine = await openEngine(world, power, incarnation)
  const kind = world.network.kind(power)
  const hub = await startHub({
    ...{ engine, clock, log: logger(world), chance: world.chance.fork(`hub ${incarnation}`) },
    ...{ retentionEveryMs, version: "simulated" },
    limits: { ...limits, delivery: { ...limits.delivery, tenants: sharesOf(world.limitsTenant) } },
    kinds: new Map([kind, queueKind].map((each) => [each.kind, each as DestinationKind])),
    authorize: callerOf,
    createApp: sharedApp,
    topics: { autoCreate: true, dedupeWindowMs },
    metrics: { open: true, render: async () => ({ contentType: "text/plain", body: "" }) },
  })
  for (const { done } of hub.loops) done.catch(world.fail)
  return {
    engine,
    queue: engine.queue,
    publish: (address, events, expectedLast) => hub.publisher.publish(address, events, expectedLast),
    call: async (request) => answerOf(await hub.api.inject(injectionOf(request))),
    alive: () => power.on,
    async close() {
      await hub.stop()
      await engine.close()
    },
  }
}

/** The engine, with its queue watched. */
async function openEngine(world: World, power: Power, incarnation: number): Promise<Engine> {
  const segmentBytes = segmentBytesOf[world.seed % 2]!
  const { clock } = power
  const random = world.chance.fork(`random ${incarnation}`)
  const opened = await openEmbeddedEngine({
    ...{ disk: world.disk.mount(power), store: world.store.mount(power), clock },
    ...{ segmentBytes, pendingBytesMax: 1 << 20, reserveBytes: segmentBytes },
    compactBytesMin: compactBytesOf[world.seed % 3]!,
    onNotice: (line) => {
      world.trace.line(line)
      world.record.damage.notice(line)
    },
    random: (bytes) => Uint8Array.from({ length: bytes }, () => random.between(0, 255)),
  })
  watchEdits(world, opened.log)
  watchDrops(world, opened.log, () => power.on)
  const queue = observeQueue({
    ...{ record: world.record, trace: world.trace, clock, alive: () => power.on },
    queue: opened.queue,
    stutter: stutterer(world, power, incarnation),
    onViolation: world.violate,
  })
  return { ...opened, queue }
}

function callerOf(header: string | undefined) {
  const tenant = header?.slice("Bearer ".length)
  if (tenant === undefined) return undefined
  return { tenant, key: tenant, rights: tenant === operatorTenant ? (["operate"] as const) : [] }
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
