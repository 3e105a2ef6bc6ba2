import { deadLettersTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Discarding, discardedType } from "../../deliver/records.ts"
import type { ApiContext } from "../context.ts"

/** Discarded deliveries that are told of one event at most. */
const toldMax = 10_000

/** A delivery that was discarded, and why. */
export interface ToldDiscard extends Discarding {
  readonly trigger: string
  readonly incarnation: string
  readonly destination: string
}

/** What the log was told of the discarded deliveries of the event at `cursor`, by delivery: of each the last. */
export async function discardsOf(
  { engine: { log } }: ApiContext,
  tenant: string,
  cursor: Cursor,
): Promise<ReadonlyMap<string, ToldDiscard>> {
  const told = new Map<string, ToldDiscard>()
  const where = { tenant, topic: deadLettersTopic, key: cursor as string }
  for await (const { events } of log.read({ where, from: log.partitions === 1 ? cursor : "oldest" })) {
    for (const { event } of events) {
      if (event.type !== discardedType || event.data === undefined) continue
      const data = JSON.parse(Buffer.from(event.data).toString("utf8")) as ToldDiscard & { readonly delivery: string }
      const { delivery, trigger, incarnation = "", destination, reason, discardedAt } = data
      told.set(delivery, { trigger, incarnation, destination, reason, discardedAt })
      if (told.size === toldMax) return told
    }
  }
  return told
}
