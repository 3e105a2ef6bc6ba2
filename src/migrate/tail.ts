import type { Address } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Event } from "../core/event.ts"
import type { EventLog } from "../core/log.ts"
import { MigrationRefusedError } from "./refusal.ts"

/** Events of one step of the copying at most; but for the hub's own records, which may bring a few more along. */
export const stepEvents = 4_096
const tailMax = 4 * stepEvents

/** A copy that was found. */
export interface Found {
  readonly cursor: Cursor
  readonly storedAt: number
}

/** What the target's log holds beyond what the ledger knows of. Throws MigrationRefusedError where that is more than a step. */
export async function readTail(log: EventLog, ends: Readonly<Record<number, Cursor>>): Promise<Tail> {
  const found = new Map<string, Found[]>()
  const topics = new Map<string, number>()
  let count = 0
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { events } of log.read({ partition, from: ends[partition] ?? "oldest" })) {
      for (const { address, event, cursor, storedAt } of events) {
        const name = identityOf(address, event)
        const same = found.get(name)
        if (same === undefined) found.set(name, [{ cursor, storedAt }])
        else same.push({ cursor, storedAt })
        const topic = topicOf(address)
        topics.set(topic, (topics.get(topic) ?? 0) + 1)
        if (++count > tailMax) throw foreign()
      }
    }
  }
  return new Tail(found, topics)
}

/** Copies that were made before the last run could note them. */
export class Tail {
  readonly #found: Map<string, Found[]>
  /** How many are left, by topic. */
  readonly #topics: Map<string, number>
  #events = 0

  constructor(found: Map<string, Found[]>, topics: Map<string, number>) {
    this.#found = found
    this.#topics = topics
  }

  /**
   * The event's copy, if it is here; each is given once. Throws MigrationRefusedError where it is not, but a later event of its
   * topic is: some of the target's writes were lost, and others were not.
   */
  take(address: Address, event: Event): Found | undefined {
    if (this.#topics.size === 0) return undefined
    const topic = topicOf(address)
    const left = this.#topics.get(topic)
    if (left === undefined) return undefined
    const name = identityOf(address, event)
    const same = this.#found.get(name)
    const found = same?.shift()
    if (found === undefined) throw disordered(address)
    if (same!.length === 0) this.#found.delete(name)
    if (left === 1) this.#topics.delete(topic)
    else this.#topics.set(topic, left - 1)
    return found
  }

  /** A step of so many events has been copied: by now every copy has to have been found. */
  stepEnded(events: number): void {
    this.#events += events
    if (this.#events >= tailMax) this.close()
  }

  /** Throws MigrationRefusedError where something is left that nobody copied. */
  close(): void {
    if (this.#topics.size > 0) throw foreign()
  }
}

function identityOf(address: Address, event: Event): string {
  return JSON.stringify([address.tenant, address.topic, address.key ?? null, event.source, event.id])
}

function topicOf({ tenant, topic }: Address): string {
  return `${tenant}/${topic}`
}

function foreign(): MigrationRefusedError {
  return new MigrationRefusedError("the target holds events that this migration has not copied", [
    "Something else has written to it. Start again with an empty target, and without the ledger.",
  ])
}

function disordered({ topic }: Address): MigrationRefusedError {
  return new MigrationRefusedError(`the target has lost a part of what was being copied to ${topic} when it failed`, [
    "Going on would change the order of events. Start again with an empty target, and without the ledger.",
  ])
}
