import { sleep } from "../src/core/clock.ts"
import { lanesOf } from "../src/core/delivery.ts"
import { Event } from "../src/core/event.ts"
import { quiesce } from "../src/testing/clock.ts"
import { endpointOf } from "./bodies.ts"
import { caller } from "./caller.ts"
import { pauseOrResume } from "./doings.ts"
import { crashes, fullDisk, jumps } from "./faults.ts"
import type { Hub } from "./hub.ts"
import { checkInvariants } from "./invariants.ts"
import { releaseKeys } from "./letters.ts"
import { listOperations, type Operations } from "./operations.ts"
import { Processes } from "./process.ts"
import { worker } from "./queues.ts"
import { type Invariant, InvariantError } from "./record.ts"
import { endReplays } from "./replays.ts"
import { createMissing, createPlanned, createTrigger } from "./resources.ts"
import { behave, type Part, planScenario, tenants, topics } from "./scenario.ts"
import { useForgettableSignals } from "./signals.ts"
import { subscriber } from "./subscriber.ts"
import { filler, publish, publisher, redriver, sleeper } from "./workload.ts"
import type { Workplace } from "./workplace.ts"
import { createWorld, diskBytes, type World } from "./world.ts"

export interface SimulateOptions {
  readonly seed: number
  /** Is handed each line of the trace as it comes. */
  readonly keep?: (line: string) => void
}

export interface RunResult {
  readonly seed: number
  readonly violation: { readonly invariant: Invariant; readonly message: string } | undefined
  /** Lines of the trace, and their SHA-256. */
  readonly lines: number
  readonly digest: string
  readonly counts: ReadonlyMap<string, number>
}

/** After the faults are over, everything that is owed must have ended within this. */
const quietWithinMs = 30 * 60_000
/** A run takes some thousands. */
const stepsMax = 1_000_000
/** Nothing may be left to do for this long before a hub counts as quiet. */
const quietForMs = 5_000

/** Lives one seed through. Throws what is a bug rather than a broken promise, the simulator's own bugs included. */
export async function simulate({ seed, keep }: SimulateOptions): Promise<RunResult> {
  useForgettableSignals()
  const operations = await listOperations()
  const world = createWorld(seed, keep)
  let over = false
  const unhandled = (error: unknown) => world.fail(error instanceof Error ? error : new Error(String(error)))
  process.on("unhandledRejection", unhandled)
  try {
    live(world, operations).then(
      () => {
        over = true
      },
      (error: Error) => world.fail(error),
    )
    // Ends: with the work, or by the limit of steps.
    for (let steps = 0; ; steps++) {
      await quiesce()
      if (steps > stepsMax) world.violate(new InvariantError(8, `after ${stepsMax} steps it is not over`))
      if (over || world.violation || world.failure) break
      if (!world.clock.step()) world.violate(new InvariantError(8, "nothing is left to wait for, and work is not done"))
    }
  } finally {
    process.off("unhandledRejection", unhandled)
  }
  // What fails once a promise is broken may come of that.
  if (world.failure && !world.violation)
    throw new Error(`seed ${seed}: ${world.failure.message}`, { cause: world.failure })
  const { violation, trace, record } = world
  return {
    seed,
    violation: violation && { invariant: violation.invariant, message: violation.message },
    lines: trace.lines,
    digest: trace.digest(),
    counts: record.counts,
  }
}

async function live(world: World, operations: Operations): Promise<void> {
  const { chance, clock, network, trace } = world
  const scenario = planScenario(chance.fork("scenario"), world.seed)
  const endMs = clock.now() + scenario.faultsMs
  const processes = new Processes(world, operations, chance.fork("processes"))
  const place = (name: string): Workplace => ({
    ...{ world, processes, scenario, operations, chance: chance.fork(name) },
    working: () => clock.now() < endMs,
    pause: (ms) => sleep(clock, Math.min(ms, Math.max(0, endMs - clock.now()))),
  })
  const setup = place("setup")
  const heals = scenario.destinations.map((plan) =>
    behave(world, network.endpoint(endpointOf(plan)), plan.character, chance.fork(endpointOf(plan))),
  )
  await createPlanned(setup)
  const doing = (part: Part, work: (place: Workplace) => Promise<void>) =>
    scenario.parts.has(part) ? [work(place(part))] : []
  const early = doing("early publisher", (its) => publisher(its, "early"))
  const workers = { over: false }
  for (const tenant of scenario.parts.has("queue") ? tenants : [])
    for (const name of ["worker", "other worker"])
      worker(place(`${name} of ${tenant}`), tenant, () => workers.over).catch(world.fail)
  for (const plan of scenario.triggers) await createTrigger(setup, plan)
  await Promise.all([
    ...early,
    publisher(place("publisher"), "late"),
    caller(place("caller")),
    ...doing("other caller", caller),
    ...doing("redriver", redriver),
    ...doing("subscriber", subscriber),
    ...doing("sleeper", sleeper),
    ...doing("filler", filler),
    ...doing("crashes", crashes),
    ...doing("jumps", jumps),
    ...doing("full disk", fullDisk),
  ])
  trace.line("faults are over")
  processes.cutAfter(undefined)
  world.disk.bytesMax = diskBytes
  for (const heal of heals) heal()
  await settle(place("end"))
  workers.over = true
  const checked = await processes.ask("check", (hub) => checkInvariants(world, hub, scenario))
  if (checked.kind === "refused") throw checked.error
  processes.end()
}

/** Lets time pass until nothing is owed any more; publishes once more everywhere, to see that everything works again. */
async function settle(place: Workplace): Promise<void> {
  const { world } = place
  const endMs = world.clock.now() + quietWithinMs
  await sleep(world.clock, 5_000)
  await createMissing(place)
  await publishEverywhere(place)
  const redriven = new Set<string>()
  for (let quietMs = 0; quietMs < quietForMs; quietMs += 1_000) {
    await sleep(world.clock, 1_000)
    if (world.clock.now() > endMs) {
      world.violate(
        new InvariantError(
          3,
          `${[...(await openLanes(place)), ...(await endReplays(place, tenants))].join(", ")} never came to an end`,
        ),
      )
      return
    }
    await resumeAll(place)
    const lanes = [...(await openLanes(place)), ...(await endReplays(place, tenants))]
    if (lanes.length === 0) continue
    quietMs = 0
    await releaseKeys(place, lanes, redriven)
  }
}

async function publishEverywhere(place: Workplace): Promise<void> {
  for (const tenant of tenants) {
    for (const topic of topics) {
      const event = Event.of({ specversion: "1.0", id: "last", source: "/last", type: "order.made" })
      if (await publish(place, { tenant, topic }, [event])) continue
      place.world.violate(new InvariantError(1, `with all faults over, publishing to ${tenant}/${topic} fails`))
    }
  }
}

async function openLanes({ processes, scenario }: Workplace): Promise<readonly string[]> {
  const asked = await processes.ask("depths", async (hub: Hub) => {
    const open: string[] = []
    for (const { tenant, id } of scenario.destinations) {
      for (const lane of lanesOf({ tenant, destination: id })) if ((await hub.queue.depth(lane)) > 0) open.push(lane)
    }
    return open
  })
  return asked.kind === "answered" ? asked.value : ["the hub"]
}

async function resumeAll(place: Workplace): Promise<void> {
  const operation = place.operations.get("resumeTrigger")!
  for (const model of place.world.record.models.values()) {
    if (model.name !== "trigger" || !model.mayBeThere) continue
    const key = model.path
    const asked = await place.processes.ask(`get ${key}`, (hub) => hub.engine.catalog.get<{ paused?: unknown }>(key))
    if (asked.kind === "answered" && asked.value?.value.paused) await pauseOrResume(place, model, operation, false)
  }
}
