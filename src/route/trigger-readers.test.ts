import fc from "fast-check"
import { expect, it } from "vitest"
import { routedAsKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Lease } from "../core/deliveries.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { LeaseLostError } from "../core/errors.ts"
import type { Trigger } from "../core/resources.ts"
import { type RoutedAs, versionFor } from "../core/routing.ts"
import { compileFilters } from "../filters/index.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import type { Power } from "../testing/power.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../testing/simulated-machine.ts"
import { type Router, startRouter } from "./router.ts"

/*
 * Anything that people do to triggers, and crashes at any step of what follows, against the invariant: each event that a
 * trigger matched all its life has exactly one delivery, and none that it never matched has any. And what is kept of how
 * triggers were says of every event whether it has a delivery. Triggers come and go under the same ids: what one of them has
 * delivered or given up is nothing to the next.
 */

const types = ["a", "b"] as const
/** The ids of three triggers, which others have again after them. */
const slots = ["x", "y", "z"] as const
type Slot = (typeof slots)[number]
const tenants = ["default", "other"] as const
/** The third one's is another one, which the first ones' events put aside, and the other way round. */
const tenantOf = (slot: Slot) => (slot === "z" ? "other" : "default")

interface Life {
  trigger: Trigger
  readonly from: number
  /** The types of each filter that it ever had. */
  readonly filters: Set<string | undefined>
}

interface World {
  readonly machine: SimulatedMachine
  engine: Engine
  power: Power
  router: Router
  /** Every event on the log, in order. */
  readonly events: { readonly cursor: Cursor; readonly type: string; readonly tenant: string }[]
  readonly lives: Map<Slot, Life>
  made: number
  /** Deliveries whose end is on disk. */
  readonly over: Set<string>
  /** Dead letters that are on disk, and were not redriven. */
  readonly dead: Set<string>
  readonly failures: string[]
}

type Command = (world: World) => Promise<void>

async function boot(world: World): Promise<void> {
  const { power, engine } = await world.machine.boot()
  // So small that a few events take many steps.
  const limits = { enqueueMax: 2, sharedEnqueueMax: 2, catchUpReadersMax: 1, catchUpBatchMax: 2, catchUpBatchesMax: 1 }
  const router = startRouter({ engine, clock: power.clock, log: createMemoryLog(), limits })
  router.done.catch((error) => world.failures.push(String(error)))
  Object.assign(world, { power, engine, router })
}

async function publish(world: World, count: number, tenant: string): Promise<void> {
  for (let n = 0; n < count; n++) {
    const type = types[world.events.length % 2]!
    const event = createEvent(`e${world.events.length}`, { type })
    const [appended] = await world.machine.run(world.engine.log.append({ ...ordersAddress, tenant }, [event]))
    world.events.push({ cursor: appended!.cursor, type, tenant })
  }
}

/** Half of what is due is over, for good; what was dropped meanwhile is nobody's any more. */
async function deliver(world: World, how: "done" | "dead"): Promise<void> {
  const { queue } = world.engine
  const leases: Lease[] = []
  for (const tenant of tenants) {
    leases.push(...(await world.machine.run(queue.lease({ lane: `${tenant}/there`, max: 50, leaseMs: 1_000 }))))
  }
  const half = Math.ceil(leases.length / 2)
  for (const lease of leases) check(world, lease.delivery.id)
  const end = (lease: Lease) =>
    how === "done"
      ? queue.end(lease, { kind: "done" })
      : queue.end(lease, { kind: "dead", letter: { ...lease.delivery, ...death } })
  const ended = await world.machine.run(Promise.all(leases.slice(0, half).map((lease) => kept(lease, end(lease)))))
  // The catalog's writes are durable, and come after.
  await world.machine.run(world.engine.catalog.put("mark", 0))
  for (const id of ended) if (id !== undefined) world[how === "done" ? "over" : "dead"].add(id)
  await world.machine.run(
    Promise.all(leases.slice(half).map((lease) => kept(lease, queue.end(lease, { kind: "release", delayMs: 0 })))),
  )
}

const death = {
  address: ordersAddress,
  reason: "permanent",
  attempts: 1,
  diedAt: 0,
  lastOutcome: { kind: "failed", detail: "404", permanent: true },
} as const

/** Puts back the dead letters of the triggers that are there. */
async function redrive(world: World): Promise<void> {
  for (const id of [...world.dead].filter((id) => lifeOf(world, id))) {
    const { tenant } = lifeOf(world, id)!.trigger
    if (!(await world.machine.run(world.engine.queue.redrive(tenant, id)))) world.failures.push(`${id} is no letter`)
    world.dead.delete(id)
  }
  await world.machine.run(world.engine.catalog.put("mark", 0))
}

async function kept(lease: Lease, end: Promise<void>): Promise<string | undefined> {
  try {
    await end
    return lease.delivery.id
  } catch (error) {
    if (error instanceof LeaseLostError) return undefined
    throw error
  }
}

function lifeOf(world: World, delivery: string): Life | undefined {
  return [...world.lives.values()].find(({ trigger }) => delivery.endsWith(`.${trigger.id}.${trigger.incarnation}`))
}

function check(world: World, id: string): void {
  if (world.over.has(id) || world.dead.has(id)) world.failures.push(`${id} came back`)
  const dot = id.indexOf(".")
  const at = world.events.findIndex(({ cursor }) => cursor === id.slice(0, dot))
  const life = lifeOf(world, id)
  if (!life) return
  const { type, tenant } = world.events[at] ?? {}
  if (tenant !== life.trigger.tenant) world.failures.push(`${id} is of another tenant's event`)
  if (at < life.from || !(life.filters.has(undefined) || life.filters.has(type))) world.failures.push(`${id} is wrong`)
}

async function resume(world: World, life: Life): Promise<void> {
  const { paused: _, ...trigger } = life.trigger
  life.trigger = trigger
  await put(world, life, {})
}

async function put(world: World, life: Life, change: Partial<Trigger>): Promise<void> {
  life.trigger = { ...life.trigger, ...change }
  const key = `trigger/${life.trigger.tenant}/${life.trigger.id}`
  await world.machine.run(world.engine.catalog.put(key, life.trigger))
}

const filtersOf = (type: string | undefined) => (type === undefined ? [] : [{ exact: { type } }])

const commands = {
  make: (id: Slot, from: "oldest" | "now", type: string | undefined): Command => {
    return async (world) => {
      if (world.lives.has(id)) return
      const { log } = world.engine
      const trigger = createTrigger(id, from === "oldest" ? log.oldest() : await log.head(), {
        tenant: tenantOf(id),
        incarnation: `i${world.made++}`,
        filters: filtersOf(type),
      })
      const life = { trigger, from: from === "oldest" ? 0 : world.events.length, filters: new Set([type]) }
      world.lives.set(id, life)
      await put(world, life, {})
    }
  },
  pause: (id: Slot): Command => {
    return async (world) => {
      const life = world.lives.get(id)
      if (life) await put(world, life, { paused: { since: 0, reason: "a test" } })
    }
  },
  resume: (id: Slot): Command => {
    return async (world) => {
      const life = world.lives.get(id)
      if (life) await resume(world, life)
    }
  },
  refilter: (id: Slot, type: string | undefined): Command => {
    return async (world) => {
      const life = world.lives.get(id)
      life?.filters.add(type)
      if (life) await put(world, life, { filters: filtersOf(type) })
    }
  },
  remove: (id: Slot): Command => {
    return async (world) => {
      const life = world.lives.get(id)
      if (!life) return
      world.lives.delete(id)
      await world.machine.run(world.engine.catalog.delete(`trigger/${life.trigger.tenant}/${life.trigger.id}`))
    }
  },
  publish: (count: number, tenant: string): Command => {
    return (world) => publish(world, count, tenant)
  },
  deliver: (how: "done" | "dead"): Command => {
    return (world) => deliver(world, how)
  },
  redrive: (): Command => redrive,
  pass: (ms: number): Command => {
    return (world) => world.machine.clock.advance(ms)
  },
  crash: (steps: number): Command => {
    return async (world) => {
      for (let n = 0; n < steps; n++) {
        world.machine.clock.step()
        await new Promise((resolve) => setImmediate(resolve))
      }
      world.power.cut()
      await boot(world)
    }
  },
  restart: (): Command => {
    return async (world) => {
      await world.machine.run(world.router.stop())
      await world.machine.run(world.engine.close())
      world.power.cut()
      await boot(world)
    }
  },
}

/** By what is kept of how the trigger was, exactly those events fired it that have a delivery. */
async function checkHistory(world: World, { trigger }: Life, delivered: (id: string) => boolean): Promise<void> {
  const { catalog, log } = world.engine
  const kept = await catalog.get<RoutedAs>(routedAsKeys.of(trigger))
  for (const { cursor, type, tenant } of world.events) {
    if (tenant !== trigger.tenant) continue
    const version = versionFor(kept?.value.versions ?? [], cursor, (a, b) => log.compare(a, b))
    const its = version?.incarnation === trigger.incarnation
    const fires = version !== undefined && its && compileFilters(version.filters)(createEvent("x", { type }))
    const id = deliveryId(cursor, trigger.id, trigger.incarnation ?? "")
    if (fires !== delivered(id)) world.failures.push(`${id} is kept as ${fires ? "fired" : "not fired"}`)
  }
}

const id = fc.constantFrom(...slots)
const type = fc.constantFrom(undefined, ...types)
const command: fc.Arbitrary<Command & { readonly told?: string }> = fc.oneof(
  { weight: 3, arbitrary: named("make", fc.tuple(id, fc.constantFrom("oldest", "now"), type)) },
  { weight: 3, arbitrary: named("pause", fc.tuple(id)) },
  { weight: 4, arbitrary: named("resume", fc.tuple(id)) },
  { weight: 3, arbitrary: named("refilter", fc.tuple(id, type)) },
  { weight: 3, arbitrary: named("remove", fc.tuple(id)) },
  { weight: 6, arbitrary: named("publish", fc.tuple(fc.integer({ min: 1, max: 5 }), fc.constantFrom(...tenants))) },
  { weight: 3, arbitrary: named("deliver", fc.tuple(fc.constantFrom("done", "dead"))) },
  { weight: 1, arbitrary: named("redrive", fc.tuple()) },
  { weight: 2, arbitrary: named("pass", fc.tuple(fc.constantFrom(0, 1, 5, 1_500))) },
  { weight: 4, arbitrary: named("crash", fc.tuple(fc.integer({ min: 0, max: 30 }))) },
  { weight: 1, arbitrary: named("restart", fc.tuple()) },
)

function named(name: keyof typeof commands, args: fc.Arbitrary<unknown[]>): fc.Arbitrary<Command> {
  return args.map((args) => {
    const run = (commands[name] as (...args: unknown[]) => Command)(...args)
    return Object.assign((world: World) => run(world), { toString: () => `${name}(${args.join(", ")})` })
  })
}

/** All triggers go on, all is routed; then what is missing is missing for good. */
async function finish(world: World): Promise<void> {
  for (const life of world.lives.values()) await resume(world, life)
  for (const tenant of tenants) await publish(world, 2, tenant)
  await world.machine.clock.advance(3_000)
  await world.machine.until(() => world.router.catching() === 0)
  await world.machine.clock.advance(3_000)
  const open = new Set<string>()
  for (const tenant of tenants) {
    for (;;) {
      const lease = { lane: `${tenant}/there`, max: 1_000, leaseMs: 100_000_000 }
      const leases = await world.machine.run(world.engine.queue.lease(lease))
      if (leases.length === 0) break
      for (const { delivery } of leases) open.add(delivery.id)
    }
  }
  for (const id of open) {
    check(world, id)
    if (!lifeOf(world, id)) world.failures.push(`${id} was not dropped`)
  }
  const isThere = (id: string) => open.has(id) || world.over.has(id) || world.dead.has(id)
  for (const life of world.lives.values()) {
    await checkHistory(world, life, isThere)
    const { trigger, from, filters } = life
    for (const { cursor, type, tenant } of world.events.slice(from)) {
      if (tenant !== trigger.tenant) continue
      const always = [...filters].every((filter) => filter === undefined || filter === type)
      const delivery = deliveryId(cursor, trigger.id, trigger.incarnation ?? "")
      if (always && !isThere(delivery)) world.failures.push(`${delivery} is missing`)
    }
  }
}

it("routes each event exactly once, whatever happens to triggers and processes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(command, { minLength: 5, maxLength: 40 }), async (seed, commands) => {
      const world: World = {
        machine: createSimulatedMachine(seed),
        events: [],
        lives: new Map(),
        made: 0,
        over: new Set(),
        dead: new Set(),
        failures: [],
        ...({} as Pick<World, "engine" | "power" | "router">),
      }
      await boot(world)
      for (const command of commands) await command(world)
      await finish(world)
      expect(world.failures).toEqual([])
    }),
    { numRuns: Number(process.env.ROUTE_RUNS ?? 60) },
  )
}, 120_000)
