import { deadLettersTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Discarding, discardedType, type Editing, editedType } from "../../deliver/records.ts"
import type { ApiContext } from "../context.ts"

/** Dead letters that are told of one event at most. */
const toldMax = 10_000

/** A delivery whose dead letter was taken away, and how. */
export type ToldEnd = {
  readonly trigger: string
  readonly incarnation: string
  readonly destination: string
} & (({ readonly kind: "discarded" } & Discarding) | ({ readonly kind: "edited" } & Editing))

type Told = { readonly delivery: string; readonly trigger: string; readonly incarnation?: string } & {
  readonly destination: string
} & Discarding &
  Editing

/**
 * What the log was told of the dead letters of the event at `cursor` that were discarded, or redriven edited, by delivery: of each the
 * last.
 */
export async function toldEndsOf(
  { engine: { log } }: ApiContext,
  tenant: string,
  cursor: Cursor,
): Promise<ReadonlyMap<string, ToldEnd>> {
  const told = new Map<string, ToldEnd>()
  const where = { tenant, topic: deadLettersTopic, key: cursor as string }
  for await (const { events } of log.read({ where, from: log.partitions === 1 ? cursor : "oldest" })) {
    for (const { event } of events) {
      const { type } = event
      if ((type !== discardedType && type !== editedType) || event.data === undefined) continue
      const data = JSON.parse(Buffer.from(event.data).toString("utf8")) as Told
      told.set(data.delivery, endOf(type, data))
      if (told.size === toldMax) return told
    }
  }
  return told
}

function endOf(type: string, { trigger, incarnation = "", destination, ...data }: Told): ToldEnd {
  const { reason, discardedAt, by, edit, editedAt } = data
  const of = { trigger, incarnation, destination }
  return type === discardedType
    ? { kind: "discarded", ...of, reason, discardedAt, ...(by !== undefined && { by }) }
    : { kind: "edited", ...of, edit, editedAt, by }
}
