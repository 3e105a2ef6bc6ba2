import type { Address } from "../core/address.ts"
import { destinationKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { type DeadLetter, deliveryId, type Outcome } from "../core/delivery.ts"
import type { Batch, BatchLimits, BatchSent, DestinationKind, Dispatch } from "../core/destination.ts"
import type { Engine } from "../core/engine.ts"
import type { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import type { DeliveryLimits, DeliveryObserver } from "../deliver/hub.ts"
import { type DeliveryWorker, startDelivery } from "../deliver/worker.ts"
import { createMemoryLog } from "./memory-log.ts"
import type { Power } from "./power.ts"
import { createDestination, createEvent, createTrigger, ordersAddress } from "./samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "./simulated-machine.ts"

/** What a destination that lives in a test does. */
export type Behave = (dispatch: Dispatch, signal: AbortSignal) => Outcome | Promise<Outcome>

export const ok: Outcome = { kind: "delivered", detail: "204" }
export const failed: Outcome = { kind: "failed", detail: "500", permanent: false }
/** Answers only when it is aborted. */
export const never = (signal: AbortSignal) =>
  new Promise<Outcome>((resolve) => {
    signal.addEventListener("abort", () => resolve({ kind: "failed", detail: "aborted", permanent: false }))
  })

/** A hub that only delivers, to destinations that live in the test. */
export class Delivering {
  readonly machine: SimulatedMachine
  readonly log = createMemoryLog()
  readonly behaviours = new Map<string, Behave>()
  /** What destinations do with batches; default: each takes all. */
  readonly batchBehaviours = new Map<string, (batch: Batch) => BatchSent | Promise<BatchSent>>()
  /** Requests to destinations that take batches. */
  readonly batches: { readonly to: string; readonly batch: Batch }[] = []
  /** What receivers let through, where they say so. */
  readonly ratesPerSecond = new Map<string, number>()
  readonly sent: { readonly to: string; readonly id: string; readonly attempt: number; readonly at: number }[] = []
  readonly opened: string[] = []
  readonly closed: string[] = []
  observe: DeliveryObserver = {}
  engine!: Engine
  power!: Power
  worker!: DeliveryWorker
  /** In flight now, and the most there were, by destination. */
  readonly flying = new Map<string, { now: number; max: number }>()
  #events = 0

  private constructor(machine: SimulatedMachine) {
    this.machine = machine
  }

  static async start(
    limits: Partial<DeliveryLimits> = {},
    observe: DeliveryObserver = {},
    machine = createSimulatedMachine(),
  ): Promise<Delivering> {
    const hub = new Delivering(machine)
    hub.observe = observe
    await hub.boot(limits)
    return hub
  }

  async boot(limits: Partial<DeliveryLimits> = {}): Promise<void> {
    const { engine, power } = await this.machine.boot()
    this.engine = engine
    this.power = power
    this.worker = startDelivery({
      ...{ engine, clock: power.clock, chance: this.machine.chance, log: this.log, observe: this.observe, limits },
      kinds: new Map(
        [this.#kind(), { ...this.#kind(), kind: "pulled", isPulled: true }].map((kind) => [kind.kind, kind]),
      ),
      publish: async () => {},
      replies: { bytesMax: 1 << 20, publish: (...appending) => this.#publish(...appending) },
    })
    this.worker.done.catch((error) => this.log.lines.push(`bug: ${error}`))
  }

  #publish(address: Address, events: readonly Event[], expectedLast: Cursor | "none") {
    return this.engine.log.append(address, events, { expectedLast, dedupeWindowMs: 60_000 })
  }

  #kind(): DestinationKind {
    return {
      kind: "test",
      description: "",
      config: {},
      check: () => [],
      signing: () => undefined,
      batching: (config) => (config as { batch?: BatchLimits }).batch,
      open: async (config) => {
        const { to, broken, batch } = config as { to: string; broken?: boolean; batch?: BatchLimits }
        if (broken) throw new Error("no such place")
        this.opened.push(to)
        return {
          send: (dispatch, signal) => this.#send(to, dispatch, signal),
          sendBatch: batch && ((sent) => this.#sendBatch(to, sent)),
          ratePerSecond: this.ratesPerSecond.get(to),
          close: async () => void this.closed.push(to),
        }
      },
    }
  }

  async #send(to: string, dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    const flying = this.flying.get(to) ?? { now: 0, max: 0 }
    this.flying.set(to, flying)
    flying.max = Math.max(flying.max, ++flying.now)
    this.sent.push({ to, id: dispatch.delivery.id, attempt: dispatch.attempt, at: dispatch.at })
    try {
      return await (this.behaviours.get(to) ?? (() => ok))(dispatch, signal)
    } finally {
      flying.now--
    }
  }

  async #sendBatch(to: string, batch: Batch): Promise<BatchSent> {
    this.batches.push({ to, batch })
    for (const { delivery, attempt, at } of batch.dispatches) this.sent.push({ to, id: delivery.id, attempt, at })
    return (this.batchBehaviours.get(to) ?? (() => ({ answer: ok })))(batch)
  }

  /** A trigger `<name>` to a destination `<name>`. */
  async connect(name: string, behave: Behave, trigger: Partial<Trigger> = {}, destination: Partial<Destination> = {}) {
    this.behaviours.set(name, behave)
    await this.destination(name, destination)
    await this.trigger(name, trigger)
  }

  async destination(name: string, rest: Partial<Destination> = {}): Promise<void> {
    const value = createDestination(name, { config: { to: name }, ...rest })
    await this.machine.run(this.engine.catalog.put(destinationKeys.of({ tenant: "default", id: name }), value))
  }

  async trigger(name: string, rest: Partial<Trigger> = {}): Promise<void> {
    const value = createTrigger(name, this.engine.log.oldest(), { destination: name, ...rest })
    await this.machine.run(this.engine.catalog.put(triggerKeys.of({ tenant: "default", id: name }), value))
  }

  /** Publishes events and owes each to these triggers. */
  async owe(count: number, ...names: string[]): Promise<Cursor[]> {
    const events = Array.from({ length: count }, () => createEvent(`e${this.#events++}`))
    const cursors = (await this.machine.run(this.engine.log.append(ordersAddress, events))).map(({ cursor }) => cursor)
    await this.oweAt(cursors, ...names)
    return cursors
  }

  async oweAt(cursors: readonly Cursor[], ...names: string[]): Promise<void> {
    const deliveries = cursors.flatMap((cursor) =>
      names.map((name) => {
        const id = deliveryId(cursor, name, "")
        return { id, tenant: "default", trigger: name, incarnation: "", destination: name, cursor, fingerprint: 0 }
      }),
    )
    await this.machine.run(this.engine.queue.enqueue(deliveries))
  }

  sentTo(name: string): number {
    return this.sent.filter(({ to }) => to === name).length
  }

  depth(name: string): Promise<number> {
    return this.engine.queue.depth(`default/${name}`)
  }

  /** Moves time on until nothing is owed to it any more. */
  empty(name: string): Promise<void> {
    return this.machine.until(async () => (await this.depth(name)) === 0)
  }

  async records(topic: string): Promise<{ readonly stored: StoredEvent; readonly data: Record<string, unknown> }[]> {
    const records: { stored: StoredEvent; data: Record<string, unknown> }[] = []
    const read = async () => {
      for await (const { events } of this.engine.log.read({ where: { tenant: "default", topic } })) {
        for (const stored of events) {
          records.push({ stored, data: JSON.parse(new TextDecoder().decode(stored.event.data)) })
        }
      }
    }
    await this.machine.run(read())
    return records
  }

  letters(): Promise<readonly DeadLetter[]> {
    return this.engine.queue.deadLetters({ tenant: "default", limit: 1_000 })
  }
}
