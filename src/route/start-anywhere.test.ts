import fc from "fast-check"
import { expect, it } from "vitest"
import { triggerKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Trigger } from "../core/resources.ts"
import type { ResourceContext } from "../resources/context.ts"
import { createFaults } from "../resources/faults.ts"
import { placeOfStart } from "../resources/start.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import type { Power } from "../testing/power.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../testing/simulated-machine.ts"
import { type Router, startRouter } from "./router.ts"

/*
 * A trigger may start anywhere while events are being published: nobody waits for those that are on their way. It reads its past,
 * joins the live flow, is paused and resumed in between. Each event that is its own is brought to it once, whatever becomes of the
 * deliveries meanwhile, and no other is.
 */

const types = ["a", "b"] as const

/** An event that was asked to be stored. */
interface Published {
  readonly id: string
  readonly type: string
  /** Once it was acknowledged. */
  readonly cursor?: Cursor
}

/** Whether an event is the trigger's: it must be, may be, or is not. */
type Says = (event: Stored) => "must" | "may" | "no"

interface Stored {
  readonly id: string
  readonly cursor: Cursor
  readonly storedAt: number
}

interface Life {
  trigger: Trigger
  readonly type: string | undefined
  readonly says: Says
}

type Kind = "now" | "oldest" | "cursor" | "time"

class Flow {
  readonly machine: SimulatedMachine
  readonly failures: string[] = []
  readonly #published: Published[] = []
  readonly #appends: Promise<unknown>[] = []
  readonly #lives: Life[] = []
  readonly #brought = new Set<string>()
  /** Those whose end is on disk. */
  readonly #ended = new Set<string>()
  readonly #over = new AbortController()
  engine!: Engine
  power!: Power
  #router!: Router

  private constructor(machine: SimulatedMachine) {
    this.machine = machine
  }

  static async start(seed: number): Promise<Flow> {
    // A disk that is slow enough for much to happen while an event is on its way.
    const flow = new Flow(createSimulatedMachine(seed, 3))
    await flow.boot()
    return flow
  }

  async boot(): Promise<void> {
    const { power, engine } = await this.machine.boot()
    Object.assign(this, { power, engine })
    this.route()
    this.#deliver(engine).catch((error) => this.failures.push(String(error)))
  }

  /** What was on its way is stored or not. */
  async crash(): Promise<void> {
    this.power.cut()
    this.#appends.length = 0
    await this.boot()
  }

  route(): void {
    // So small that a few events take many steps.
    const limits = { enqueueMax: 2, catchUpReadersMax: 1, catchUpBatchMax: 2, catchUpBatchesMax: 1 }
    const { engine, power } = this
    this.#router = startRouter({ engine, clock: power.clock, log: createMemoryLog(), limits })
    this.#router.done.catch((error) => this.failures.push(String(error)))
  }

  async restart(): Promise<void> {
    await this.machine.run(this.#router.stop())
    this.route()
  }

  /** Does not wait for them. */
  publish(count: number): void {
    for (let n = 0; n < count; n++) {
      const index = this.#published.length
      const event: Published = { id: `e${index}`, type: types[index % 2]! }
      this.#published.push(event)
      const append = this.engine.log.append(ordersAddress, [createEvent(event.id, { type: event.type })])
      const stored = append.then(([appended]) => Object.assign(event, { cursor: appended!.cursor }))
      this.#appends.push(stored)
    }
  }

  async make(kind: Kind, at: number, type: string | undefined): Promise<void> {
    const known = this.#published.filter(({ cursor }) => cursor !== undefined)
    const cursor = known[at % Math.max(1, known.length)]?.cursor
    const { start, says } = await this.#startOf(cursor === undefined && kind !== "now" ? "oldest" : kind, cursor)
    const before = new Set(known.map(({ id }) => id))
    const faults = createFaults()
    const context = { engine: this.engine } as ResourceContext
    const from = await this.machine.run(placeOfStart(context, start, 0, { field: "start", faults }))
    const asked = this.#published.length
    const isAfter = ({ id }: Stored) => Number(id.slice(1)) >= asked
    const nowSays: Says = (event) => (before.has(event.id) ? "no" : isAfter(event) ? "must" : "may")
    const id = `t${this.#lives.length}`
    const filters = type === undefined ? [] : [{ exact: { type } }]
    const life: Life = {
      trigger: createTrigger(id, from, { incarnation: `i${id}`, filters }),
      type,
      says: says ?? nowSays,
    }
    this.#lives.push(life)
    await this.#put(life)
  }

  /** How a start is written, and which events it is to have; of "now" nobody knows yet. */
  async #startOf(kind: Kind, cursor: Cursor | undefined) {
    if (kind === "now") return { start: "now" as const, says: undefined }
    if (kind === "oldest") return { start: "oldest" as const, says: (() => "must") as Says }
    const { log } = this.engine
    if (kind === "cursor") {
      const says: Says = (event) => (log.compare(event.cursor, cursor!) > 0 ? "must" : "no")
      return { start: { cursor: cursor! }, says }
    }
    const { storedAt } = (await this.machine.run(log.get(cursor!)))!
    const says: Says = (event) => (event.storedAt >= storedAt ? "must" : "no")
    return { start: { time: new Date(storedAt).toISOString() }, says }
  }

  async pause(at: number, isPaused: boolean): Promise<void> {
    const life = this.#lives[at % Math.max(1, this.#lives.length)]
    if (life === undefined) return
    const { paused: _, ...trigger } = life.trigger
    life.trigger = isPaused ? { ...trigger, paused: { since: 0, reason: "a test" } } : trigger
    await this.#put(life)
  }

  #put({ trigger }: Life): Promise<unknown> {
    return this.machine.run(this.engine.catalog.put(triggerKeys.of(trigger), trigger))
  }

  /** Brings what is owed as soon as it is, for as long as the process lives: what is made once more after that comes once more. */
  async #deliver({ queue, catalog }: Engine): Promise<void> {
    const lane = "default/there"
    // Ends: with the flow, or its process.
    for await (const _ of queue.lanes(this.#over.signal)) {
      const leases = await queue.lease({ lane, max: 1_000, leaseMs: 60_000 })
      for (const { delivery } of leases) {
        if (this.#ended.has(delivery.id)) this.failures.push(`${delivery.id} came twice`)
        this.#brought.add(delivery.id)
      }
      await Promise.all(leases.map((lease) => queue.end(lease, { kind: "done" })))
      // The catalog's writes are durable, and come after.
      if (leases.length > 0) await catalog.put("mark", 0)
      for (const { delivery } of leases) this.#ended.add(delivery.id)
    }
  }

  async finish(): Promise<void> {
    for (const at of this.#lives.keys()) await this.pause(at, false)
    this.publish(3)
    await this.machine.run(Promise.all(this.#appends))
    await this.machine.clock.advance(3_000)
    await this.machine.until(() => this.#router.catching() === 0)
    await this.machine.clock.advance(3_000)
    this.#over.abort()
    const wanted = await this.#wanted()
    for (const [id, says] of wanted) {
      if (says === "must" && !this.#brought.has(id)) this.failures.push(`${id} is missing`)
      if (says === "no" && this.#brought.has(id)) this.failures.push(`${id} is nobody's`)
    }
    for (const id of this.#brought) if (!wanted.has(id)) this.failures.push(`${id} is of no event`)
  }

  /** Of each event and each trigger, whether it is to be brought there: the log is read from end to end, and asked one by one. */
  async #wanted(): Promise<ReadonlyMap<string, ReturnType<Says>>> {
    const stored: StoredEvent[] = []
    const reading = (async () => {
      for await (const { events } of this.engine.log.read({ where: ordersAddress })) stored.push(...events)
    })()
    await this.machine.run(reading)
    const there = new Set(stored.map(({ cursor }) => cursor))
    for (const { id, cursor } of this.#published)
      if (cursor !== undefined && !there.has(cursor)) this.failures.push(`${id} is lost`)
    const wanted = new Map<string, ReturnType<Says>>()
    for (const { trigger, type, says } of this.#lives) {
      for (const { event, cursor, storedAt } of stored) {
        const isFor = type === undefined || type === event.type
        const said = isFor ? says({ id: event.id, cursor, storedAt }) : "no"
        wanted.set(deliveryId(cursor, trigger.id, trigger.incarnation ?? ""), said)
      }
    }
    return wanted
  }
}

type Step = (flow: Flow) => unknown

function step<Args extends unknown[]>(
  name: string,
  args: fc.Arbitrary<Args>,
  run: (flow: Flow, ...args: Args) => unknown,
): fc.Arbitrary<Step> {
  return args.map((given) =>
    Object.assign((flow: Flow) => run(flow, ...given), { toString: () => `${name}(${given.join(", ")})` }),
  )
}

const count = fc.integer({ min: 1, max: 6 })
const kind = fc.constantFrom<Kind>("now", "oldest", "cursor", "cursor", "time")
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: step("publish", fc.tuple(count), (flow, n) => flow.publish(n)) },
  {
    weight: 4,
    arbitrary: step("make", fc.tuple(kind, fc.nat(50), fc.constantFrom(undefined, ...types)), (flow, ...made) =>
      flow.make(...made),
    ),
  },
  { weight: 3, arbitrary: step("pause", fc.tuple(fc.nat(20)), (flow, at) => flow.pause(at, true)) },
  { weight: 4, arbitrary: step("resume", fc.tuple(fc.nat(20)), (flow, at) => flow.pause(at, false)) },
  {
    weight: 5,
    arbitrary: step("pass", fc.tuple(fc.constantFrom(0, 1, 4, 20, 1_500)), (flow, ms) =>
      flow.machine.clock.advance(ms),
    ),
  },
  { weight: 2, arbitrary: step("crash", fc.tuple(), (flow) => flow.crash()) },
  { weight: 1, arbitrary: step("restart", fc.tuple(), (flow) => flow.restart()) },
)

it("a trigger that starts anywhere, while events are published, has each of its events once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(steps, { minLength: 8, maxLength: 50 }), async (seed, all) => {
      const flow = await Flow.start(seed)
      flow.publish(4)
      for (const each of all) await each(flow)
      await flow.finish()
      expect(flow.failures).toEqual([])
      flow.power.cut()
    }),
    { numRuns: Number(process.env.ROUTE_RUNS ?? 60) },
  )
}, 120_000)
