import Type from "typebox"
import { type Address, parseTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { EventLog, From } from "../../core/log.ts"
import { isTimestamp } from "../../formats/attributes.ts"
import type { Faults } from "../../resources/faults.ts"
import type { ApiContext } from "../context.ts"
import { parseFrom } from "../events/event-query.ts"

/** The members by which a body says what part of a topic it means. */
export const rangeFields = {
  from: Type.Optional(
    Type.String({
      default: "oldest",
      description: "`oldest`, a cursor (events after it), or an RFC 3339 time (events since).",
    }),
  ),
  until: Type.Optional(
    Type.String({
      default: "newest",
      description: "`newest` (the present end), a cursor (its event is the last), or an RFC 3339 time.",
    }),
  ),
}

/** A part of the log. */
export interface Range {
  readonly from: From
  readonly until: Cursor | { readonly time: number } | undefined
}

/** The address of a topic whose text was checked. */
export function addressOf(tenant: string, topic: string): Address {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") throw new TypeError(parsed)
  return { tenant, ...parsed }
}

/** What {@link rangeFields} say; `faults` are told what is wrong. */
export function readRange(
  context: ApiContext,
  address: Address,
  body: { readonly from?: unknown; readonly until?: unknown },
  faults: Faults,
): Range {
  const { log } = context.engine
  const partition = log.partitionOf(address)
  const from = parseFrom(context, partition, typeof body.from === "string" ? body.from : "oldest", faults)
  if (from === "newest") faults.add("from", "newest leaves nothing to read; give oldest, a cursor or a time")
  const until = typeof body.until === "string" ? readUntil(context, partition, body.until, faults) : undefined
  return { from, until }
}

function readUntil(context: ApiContext, partition: number, text: string, faults: Faults): Range["until"] {
  if (isTimestamp(text)) return { time: Date.parse(text) }
  const place = parseFrom(context, partition, text, { add: () => faults.add("until", untilForm) })
  if (place === "oldest") faults.add("until", "oldest leaves nothing to read; give newest, a cursor or a time")
  return place === "oldest" || place === "newest" ? undefined : (place as Cursor)
}

const untilForm = "must be newest, a cursor of this topic, or an RFC 3339 time"

/** The range's ends as they are now: events after the first, up to the second. */
export async function endsOf(
  log: EventLog,
  address: Address,
  { from, until }: Range,
): Promise<{ readonly from: Cursor; readonly until: Cursor }> {
  const partition = log.partitionOf(address)
  const place = (at: From | undefined): Promise<Cursor> | Cursor => {
    if (at === undefined || at === "newest") return log.head(partition)
    if (at === "oldest") return log.oldest(partition)
    return typeof at === "object" ? log.at(at.time, partition) : at
  }
  return { from: await place(from), until: await place(until) }
}
