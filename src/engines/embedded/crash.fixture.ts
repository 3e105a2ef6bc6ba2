import { writeSync } from "node:fs"
import { crc32 } from "node:zlib"
import type { Address } from "../../core/address.ts"
import type { Lease } from "../../core/deliveries.ts"
import { type DeadLetter, type Delivery, deliveryId, laneOf } from "../../core/delivery.ts"
import type { Engine } from "../../core/engine.ts"
import { Event } from "../../core/event.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { openEmbeddedDirectory } from "./engine.ts"

/** The reader that makes deliveries of events. */
export const reader = "router"
export const segmentBytes = 1 << 20
const topics: readonly Address[] = [
  { tenant: "acme", topic: "orders" },
  { tenant: "acme", topic: "users", key: "7" },
  { tenant: "globex", topic: "orders" },
]
/** Nobody is owed its events: they are dropped in between. */
const debug: Address = { tenant: "acme", topic: "debug" }
/** No more than so many events are on their way at a time. */
const underWayMax = 2_000

/** The deliveries that an event makes: one of `all`, and of every other event one of `half`. */
export function deliveriesOf(stored: StoredEvent): readonly Delivery[] {
  const { address, cursor, event } = stored
  if (address.topic === debug.topic) return []
  const triggers = crc32(event.id) % 2 === 0 ? ["all", "half"] : ["all"]
  return triggers.map((trigger) => ({
    id: deliveryId(cursor, trigger, "i1"),
    tenant: address.tenant,
    trigger,
    incarnation: "i1",
    destination: trigger === "all" ? `d-${address.topic}` : "d-half",
    cursor,
    fingerprint: fingerprintOf(stored),
  }))
}

/** What becomes of a delivery at this attempt: most are done at once, some are tried again, some given up. */
export function endOf(id: string, attempt: number): "done" | "retry" | "bury" {
  const kind = crc32(id) % 10
  if (kind > 2) return "done"
  if (attempt < 3) return "retry"
  return kind === 0 ? "bury" : "done"
}

/** The bytes that belong to an event's id. */
export function dataOf(id: string): Buffer {
  return Buffer.alloc(100 + (crc32(id) % 2_000), id)
}

/** What a process says of itself, a line each: `<kind> <JSON>`. A line is written before what it announces begins, or after what it acknowledges is over. */
export type Said =
  | { readonly kind: "stored"; readonly events: readonly (readonly [id: string, cursor: string])[] }
  | { readonly kind: "routed"; readonly cursor: string }
  | { readonly kind: "dropping" | "dropped"; readonly ids: readonly string[] }
  | { readonly kind: "ending" | "done" | "buried"; readonly id: string }
  | { readonly kind: "wrong"; readonly what: string }

/** Resolves nothing, waits for nobody: when it returns, whoever listens has the line, even if this process is killed right then. */
function say(said: Said): void {
  let left = Buffer.from(`${JSON.stringify(said)}\n`)
  while (left.length > 0) left = left.subarray(writeSome(left))
}

/** How many bytes a pipe took; none while it is full. */
function writeSome(bytes: Buffer): number {
  try {
    return writeSync(1, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error
    Atomics.wait(pause, 0, 0, 1)
    return 0
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4))

/** One process under load: it publishes, routes and delivers until it is killed. */
export async function runLoad(directory: string, name: string): Promise<void> {
  const engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes, reserveBytes: 0 })
  const load = new Load(engine, name)
  await Promise.all([
    load.publish("a"),
    load.publish("b"),
    load.publish("c"),
    load.route(),
    load.deliver(),
    load.drop(),
  ])
}

class Load {
  readonly #engine: Engine
  readonly #name: string
  readonly #leased = new Set<string>()
  readonly #never = new AbortController().signal
  #underWay = 0

  constructor(engine: Engine, name: string) {
    this.#engine = engine
    this.#name = name
  }

  async publish(publisher: string): Promise<void> {
    const chance = createSimulatedChance(`${this.#name}/${publisher}`)
    for (let i = 0; ; ) {
      if (this.#underWay > underWayMax) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        continue
      }
      const events = Array.from({ length: chance.between(1, 20) }, () => {
        const id = `${this.#name}-${publisher}-${i++}`
        return Event.of({ specversion: "1.0", id, source: "/load", type: "load" }, dataOf(id))
      })
      this.#underWay += events.length
      const appended = await this.#engine.log.append(chance.pick(topics), events, { dedupeWindowMs: 3_600_000 })
      say({ kind: "stored", events: appended.map(({ cursor }, n) => [events[n]!.id, cursor]) })
    }
  }

  /** Publishes debug events, and drops two of three at once. */
  async drop(): Promise<void> {
    const { log } = this.#engine
    for (let i = 0; ; ) {
      const events = Array.from({ length: 30 }, () => {
        const id = `${this.#name}-debug-${i++}`
        return Event.of({ specversion: "1.0", id, source: "/load", type: "debug" }, dataOf(id))
      })
      const appended = await log.append(debug, events)
      say({ kind: "stored", events: appended.map(({ cursor }, n) => [events[n]!.id, cursor]) })
      const going = appended.map(({ cursor }, n) => ({ cursor, id: events[n]!.id })).filter((_, n) => n % 3 > 0)
      const ids = going.map(({ id }) => id)
      say({ kind: "dropping", ids })
      await log.drop(
        debug,
        going.map(({ cursor }) => cursor),
      )
      say({ kind: "dropped", ids })
    }
  }

  async route(): Promise<void> {
    const { log, queue } = this.#engine
    const from = (await queue.position(reader)) ?? "oldest"
    for await (const { events, next } of log.read({ from, follow: this.#never, batchMax: 100 })) {
      await queue.enqueue(events.flatMap(deliveriesOf), { reader, cursor: next })
      say({ kind: "routed", cursor: next })
      this.#underWay -= events.length
    }
  }

  async deliver(): Promise<void> {
    const { queue } = this.#engine
    for await (const lane of queue.lanes(this.#never)) {
      for (;;) {
        const leases = await queue.lease({ lane, max: 50, leaseMs: 60_000 })
        if (leases.length === 0) break
        await Promise.all(leases.map((lease) => this.#end(lease)))
      }
    }
  }

  async #end(lease: Lease): Promise<void> {
    const { id } = lease.delivery
    if (this.#leased.has(id)) say({ kind: "wrong", what: `${id} is leased twice at a time` })
    this.#leased.add(id)
    await this.#attempt(lease)
    this.#leased.delete(id)
  }

  async #attempt(lease: Lease): Promise<void> {
    const { log, queue } = this.#engine
    const { id, cursor } = lease.delivery
    const stored = await log.get(cursor)
    if (stored === undefined) return void say({ kind: "wrong", what: `${id} has no event` })
    if (!deliveriesOf(stored).some((one) => one.id === id && laneOf(one) === laneOf(lease.delivery))) {
      say({ kind: "wrong", what: `${id} is nobody's delivery` })
    }
    const end = endOf(id, lease.attempt)
    if (end === "retry") return queue.end(lease, { kind: "retry", delayMs: 5 })
    if (end === "bury") {
      await queue.end(lease, { kind: "dead", letter: letterOf(lease, stored) })
      say({ kind: "buried", id })
      return
    }
    say({ kind: "ending", id })
    await queue.end(lease, { kind: "done" })
    say({ kind: "done", id })
  }
}

function letterOf({ delivery, attempt }: Lease, { address }: StoredEvent): DeadLetter {
  const lastOutcome = { kind: "failed", detail: "503", permanent: false } as const
  return { ...delivery, address, reason: "exhausted", attempts: attempt, diedAt: systemClock.now(), lastOutcome }
}
