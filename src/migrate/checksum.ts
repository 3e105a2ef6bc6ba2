import { createHash, type Hash } from "node:crypto"
import type { Cursor } from "../core/cursor.ts"
import type { Event } from "../core/event.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"

/** A topic's events, told in one number each. */
export interface TopicSum {
  readonly tenant: string
  readonly topic: string
  readonly events: number
  /** Over all its events in order: places, times, attributes, data; 16 hex digits. */
  readonly checksum: string
}

/** An event as it counts for the checksum; `cursor` is the one in the target, on both sides. */
export interface Counted {
  readonly stored: Pick<StoredEvent, "address" | "event" | "storedAt">
  readonly cursor: Cursor | undefined
}

const shownDigits = 16
const tellEvery = 1_000

/** Reads a log through; `count` says as what an event counts. Holds one sum for each topic. */
export async function sumTopics(
  log: EventLog,
  count: (stored: StoredEvent) => Counted,
  tell: (events: number) => void,
  stop: AbortSignal,
): Promise<ReadonlyMap<string, TopicSum>> {
  const sums = new Map<string, { readonly tenant: string; readonly topic: string; events: number; hash: Hash }>()
  let read = 0
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { events } of log.read({ partition })) {
      if (stop.aborted) break
      for (const stored of events) {
        const { tenant, topic } = stored.address
        const name = `${tenant}/${topic}`
        let sum = sums.get(name)
        if (sum === undefined) {
          sum = { tenant, topic, events: 0, hash: createHash("sha256") }
          sums.set(name, sum)
        }
        sum.events++
        add(sum.hash, count(stored))
        if (++read % tellEvery === 0) tell(tellEvery)
      }
    }
  }
  tell(read % tellEvery)
  return new Map(
    [...sums].map(([name, { tenant, topic, events, hash }]) => [
      name,
      { tenant, topic, events, checksum: hash.digest("hex").slice(0, shownDigits) },
    ]),
  )
}

function add(hash: Hash, { stored: { address, event, storedAt }, cursor }: Counted): void {
  const head = [address.key ?? null, cursor ?? null, storedAt, event.dataKind, event.data?.length ?? 0]
  hash.update(JSON.stringify([head, attributesOf(event)]))
  if (event.data !== undefined) hash.update(event.data)
}

function attributesOf({ attributes }: Event): readonly unknown[] {
  return Object.keys(attributes)
    .sort()
    .map((name) => [name, attributes[name]])
}

/** JSON whose members are in order, so that equal values are equal texts. */
export function orderedJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  )
}

/** Things in no order, told in one number: what their hashes add up to. */
export class SetSum {
  count = 0
  #sum = 0n

  add(value: unknown): void {
    this.count++
    this.#sum += createHash("sha256").update(orderedJson(value)).digest().readBigUInt64BE()
  }

  get checksum(): string {
    return BigInt.asUintN(64, this.#sum).toString(16).padStart(shownDigits, "0")
  }
}
