import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Address, attemptsTopic, deadLettersTopic } from "../core/address.ts"
import {
  routedAsKeys,
  routingKeys,
  subscriptionKeys,
  subscriptionPositionKeys,
  triggerKeys,
} from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { type DeadLetter, type Delivery, deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { Event } from "../core/event.ts"
import { fingerprintOf } from "../core/fingerprint.ts"
import type { StoredEvent } from "../core/log.ts"
import { newTopic, type Trigger } from "../core/resources.ts"
import { mainReaderOf, pathOf, type RoutedAs, type RoutingRecord, readerOf } from "../core/routing.ts"
import type { Subscription } from "../core/subscriptions.ts"
import type { Carried } from "../core/transfer.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { openJetStreamEngine } from "../engines/jetstream/engine.ts"
import { markOf } from "../route/record.ts"
import { createSystemChance, systemClock } from "../telemetry/clock.ts"
import { createSimulatedChance, type SimulatedChance } from "../testing/chance.ts"
import { Ledger } from "./ledger.ts"
import { type MigrationOptions, type MigrationReport, migrate } from "./migrate.ts"

export const bornAt = 1_700_000_000_000
export const topics: readonly Address[] = [
  { tenant: "acme", topic: "orders" },
  { tenant: "acme", topic: "users" },
  { tenant: "globex", topic: "orders" },
]

export const temporary = () => mkdtempSync(join(tmpdir(), "redcar-migrate-"))

/** An engine in a directory; a small one, so that the log has many files. */
export function openSmallEngine(directory: string): Promise<Engine> {
  return openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes: 1 << 20, reserveBytes: 0 })
}

/** An engine on NATS servers; `directory` is for what it can make again. */
export function openServers(url: string, prefix: string, directory: string): Promise<Engine> {
  const quiet = { info: () => {}, warn: () => {}, error: () => {} }
  return openJetStreamEngine({
    servers: [url],
    prefix,
    partitions: 4,
    replicas: 1,
    dedupeWindowMsMax: 86_400_000,
    directory,
    serveQueue: true,
    pendingBytesMax: 16 << 20,
    clock: systemClock,
    log: quiet,
  })
}

/** What a hub might have left behind when it was stopped. */
export interface HubToMigrate {
  readonly events: readonly StoredEvent[]
  readonly triggers: readonly Trigger[]
  readonly subscriptions: readonly Subscription[]
}

/** Fills an engine with a history of so many events: made, tried, delivered, parked, held, dead, forgotten. */
export async function fillHub(engine: Engine, seed: string, count: number): Promise<HubToMigrate> {
  const filler = new HubFiller(engine, createSimulatedChance(seed))
  await filler.publish(count)
  await filler.route()
  for (let i = 0; i < 6; i++) await filler.subscribe(i)
  await filler.forget()
  return filler
}

class HubFiller implements HubToMigrate {
  readonly #engine: Engine
  readonly #chance: SimulatedChance
  readonly events: StoredEvent[] = []
  readonly triggers: Trigger[] = []
  readonly subscriptions: Subscription[] = []
  #now = bornAt

  constructor(engine: Engine, chance: SimulatedChance) {
    this.#engine = engine
    this.#chance = chance
  }

  /** Events on all topics, and among them the records of attempts at those before. */
  async publish(count: number): Promise<void> {
    for (const { tenant, topic } of topics) {
      await this.#engine.catalog.put(`topic/${tenant}/${topic}`, newTopic(tenant, topic, bornAt, 86_400_000))
    }
    await this.#engine.catalog.put("key/default/admin", { id: "admin", tenant: "default", sha256: "ab", createdAt: 1 })
    for (let n = 0; n < count; ) {
      this.#now += this.#chance.between(0, 3)
      const place = this.#chance.pick(topics)
      const address = this.#chance.happens(0.4) ? { ...place, key: `k${this.#chance.between(0, 4)}` } : place
      const events = Array.from({ length: this.#chance.between(1, 8) }, () => this.#event(n++))
      const options = { storedAt: this.#now }
      const appended = await this.#engine.log.append(address, events, options)
      for (const [i, { cursor }] of appended.entries()) {
        this.events.push({ address, cursor, storedAt: this.#now, event: events[i]! })
      }
      if (this.#chance.happens(0.5)) await this.#tellOf(this.#chance.pick(this.events))
    }
  }

  #event(n: number): Event {
    // Ids come again: nothing is to take one for a duplicate of the other.
    const id = `e${n % 97}`
    const kind = this.#chance.pick(["none", "json", "text", "binary"] as const)
    const data = kind === "none" ? undefined : Buffer.from(kind === "json" ? `{"n":${n}}` : "x".repeat(n % 700))
    const extras = { n, flag: n % 2 === 0, subject: `é${n}` }
    return Event.of({ specversion: "1.0", id, source: "/shop", type: "made", ...extras }, data, kind)
  }

  async #tellOf({ address, cursor, event }: StoredEvent): Promise<void> {
    this.#now++
    const topic = this.#chance.happens(0.8) ? attemptsTopic : deadLettersTopic
    const id = deliveryId(cursor, "t0", "i1")
    const name = topic === attemptsTopic ? { delivery: id, topic: address.topic } : { id, address }
    const data = { ...name, trigger: "t0", incarnation: "i1", destination: "d0", cursor, event: { id: event.id } }
    const attributes = {
      specversion: "1.0",
      id: `${id}.${this.#now}`,
      source: "/redcar/triggers/t0",
      type: topic === attemptsTopic ? "redcar.attempt" : "redcar.dead-letter",
      subject: id,
      datacontenttype: "application/json",
    }
    const told = Event.of(attributes, Buffer.from(JSON.stringify(data)), "json")
    const where = { tenant: address.tenant, topic, key: cursor }
    const [appended] = await this.#engine.log.append(where, [told], { storedAt: this.#now })
    this.events.push({ address: where, cursor: appended!.cursor, storedAt: this.#now, event: told })
  }

  /** Triggers in every state, and what they owe. */
  async route(): Promise<void> {
    for (let i = 0; i < 12; i++) await this.#trigger(i)
    const { log, queue } = this.#engine
    for (let partition = 0; partition < log.partitions; partition++) {
      const cursor = this.#somewhere(partition)
      if (cursor !== undefined) await queue.enqueue([], { reader: mainReaderOf(partition), cursor })
    }
    const items = this.events
      .filter(({ address }) => address.topic === "orders")
      .flatMap((stored) => this.#owed(stored))
    for (let i = 0; i < items.length; i += 400) await queue.carry(items.slice(i, i + 400))
  }

  #somewhere(partition: number, where?: Partial<Address>): Cursor | undefined {
    const some = this.events.filter(
      ({ address }) =>
        this.#engine.log.partitionOf(address) === partition &&
        (where === undefined || (where.tenant === address.tenant && where.topic === address.topic)),
    )
    return some.length === 0 ? undefined : this.#chance.pick(some).cursor
  }

  async #trigger(i: number): Promise<void> {
    const { log, catalog, queue } = this.#engine
    const address = topics[i % topics.length]!
    const { tenant, topic } = address
    const partition = log.partitionOf(address)
    const from = this.#chance.happens(0.3)
      ? log.oldest(partition)
      : (this.#somewhere(partition) ?? log.oldest(partition))
    const trigger: Trigger = {
      id: `t${i}`,
      tenant,
      topic: i % 4 === 0 ? `${topic}:k1` : topic,
      filters: [],
      destination: "d0",
      retry: { delaysMs: [1_000], jitter: 0, attemptsMax: 3, ageMaxMs: 60_000 },
      labels: {},
      from,
      createdAt: bornAt + i,
      updatedAt: bornAt + i,
    }
    this.triggers.push(trigger)
    await catalog.put(triggerKeys.at(pathOf(trigger)), trigger)
    const place = partition === 0 ? {} : { partition }
    const of = markOf(trigger)
    const after = this.#somewhere(partition, address) ?? from
    const attached = i % 3 === 0 ? {} : { attachedAfter: after }
    const record: RoutingRecord = { of: i === 7 ? "an earlier one" : of, ...place, ...attached }
    if (i !== 5) await catalog.put(routingKeys.at(pathOf(trigger)), record)
    if (i % 3 === 0) await queue.enqueue([], { reader: readerOf(pathOf(trigger)), cursor: after })
    const version = { topic: trigger.topic, filters: [], destination: "d0", updatedAt: bornAt }
    const kept: RoutedAs = {
      of,
      ...place,
      versions: [
        { ...version, after: from, until: after },
        { ...version, after },
      ],
    }
    await catalog.put(routedAsKeys.of(trigger), kept)
  }

  /** A subscription that stands somewhere, or where it began, before all. */
  async subscribe(i: number): Promise<void> {
    const { log, catalog } = this.#engine
    const address = topics[i % topics.length]!
    const { tenant, topic } = address
    const from = log.oldest(log.partitionOf(address))
    const cursor = (i % 2 === 0 ? this.#somewhere(log.partitionOf(address)) : undefined) ?? from
    const times = { createdAt: bornAt, updatedAt: bornAt }
    const incarnation = `i${i}`
    const subscription = { id: `s${i}`, tenant, incarnation, labels: {}, topic, filters: [], from, ...times }
    this.subscriptions.push(subscription)
    await catalog.put(subscriptionKeys.of(subscription), subscription)
    await catalog.put(subscriptionPositionKeys.of(subscription), { incarnation, cursor, epoch: i + 1, movedAt: bornAt })
  }

  #owed(stored: StoredEvent): readonly Carried[] {
    const { address, cursor } = stored
    const { tenant } = address
    const destination = `d${this.#chance.between(0, 3)}`
    const trigger = `t${this.#chance.between(0, 13)}`
    // Some are of triggers that are there now, some of such as had their ids before.
    const incarnation = this.#chance.pick(["", "i1", "i2"])
    const id = deliveryId(cursor, trigger, incarnation)
    const fingerprint = fingerprintOf(stored)
    const delivery: Delivery = { id, tenant, trigger, incarnation, destination, cursor, fingerprint }
    const attempts = this.#chance.between(0, 9)
    const firstDueAt = this.#now
    const open = { kind: "open" as const, delivery, attempts, attemptsForgiven: attempts >> 1, firstDueAt }
    switch (this.#chance.between(0, 6)) {
      case 0:
        return [{ ...open, dueAt: this.#now, held: false }]
      case 1:
        return [{ ...open, dueAt: systemClock.now() + 3_600_000, held: false }]
      case 2:
        return [{ ...open, dueAt: this.#now, held: true }]
      case 3:
        return [{ kind: "dead", letter: this.#letter(delivery, address), attempts: 7 }]
      default:
        return []
    }
  }

  #letter(delivery: Delivery, address: Address): DeadLetter {
    const lastOutcome = { kind: "failed", detail: "503", permanent: false } as const
    return { ...delivery, address, reason: "exhausted", attempts: 7, diedAt: this.#now, lastOutcome }
  }

  /** Retention has dropped the beginning of one topic. */
  async forget(): Promise<void> {
    const [address] = topics
    const { events } = await this.#engine.log.stats(address!)
    await this.#engine.log.trim(address!, { eventsMax: Math.ceil(events * 0.8) })
  }
}

/** Moves from one open engine to another. */
export async function move(
  source: Engine,
  target: Engine,
  work: string,
  more: Partial<MigrationOptions> = {},
): Promise<MigrationReport> {
  const ledger = Ledger.open(work)
  const fixed = { from: "here", to: "there", clock: systemClock, chance: createSystemChance(systemClock) }
  try {
    return await migrate({ source, target, ledger, ...fixed, stop: new AbortController().signal, ...more })
  } finally {
    await ledger.close()
  }
}

/** Moves from a directory to another or to NATS servers, as a process that may be killed at any time. */
export async function moveDirectories(from: string, to: string, work: string): Promise<void> {
  const source = await openSmallEngine(from)
  const target = await (to.startsWith("nats://") ? openServers(to, "killed", join(work, "nats")) : openSmallEngine(to))
  process.stdout.write("begins\n")
  const { same } = await move(source, target, work)
  await target.close()
  await source.close()
  process.stdout.write(same ? "same\n" : "different\n")
}
