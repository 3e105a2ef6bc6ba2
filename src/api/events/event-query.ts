import Type, { type Static } from "typebox"
import { type Address, isReservedTopic, parseTopic } from "../../core/address.ts"
import { topicKeys } from "../../core/catalog-keys.ts"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Cursor } from "../../core/cursor.ts"
import { InvalidCursorError } from "../../core/errors.ts"
import type { Event } from "../../core/event.ts"
import type { From, StoredEvent } from "../../core/log.ts"
import { createPace, turnSteps } from "../../core/pace.ts"
import type { Filter } from "../../core/resources.ts"
import { compileFilters, EventView, inTurns, parseFilters } from "../../filters/index.ts"
import { isTimestamp } from "../../formats/attributes.ts"
import type { Faults } from "../../resources/faults.ts"
import { strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { notFound } from "../errors.ts"
import { readQuery } from "../fields.ts"

export const limitDefault = 100
export const limitMax = 10_000

const FromParam = Type.String({
  description: "`oldest`, `newest`, a cursor (events after it), or an RFC 3339 time (events since).",
})
const FiltersParam = Type.String({
  description: 'A JSON array of filters, all of which have to hold: `[{"prefix":{"type":"order."}}]`.',
})

export const EventsQuery = strict({
  from: Type.Optional(FromParam),
  limit: Type.Optional(
    Type.String({
      pattern: "^(all|[0-9]{1,6})$",
      description: `Events at most, 1 to ${limitMax}; \`all\` streams to the present end, as NDJSON.`,
      default: String(limitDefault),
      errorMessage: `must be 1 to ${limitMax}, or all`,
    }),
  ),
  filters: Type.Optional(FiltersParam),
  format: Type.Optional(
    Type.Unsafe<"json" | "ndjson">({
      type: "string",
      enum: ["json", "ndjson"],
      description: "Instead of an Accept header: `json` is a CloudEvents batch.",
    }),
  ),
})

export const StreamQuery = strict({ from: Type.Optional(FromParam), filters: Type.Optional(FiltersParam) })

/** Which events of a topic are asked for. */
export interface Selection {
  readonly address: Address
  readonly from: From
  /** Undefined: every event. */
  readonly passes: ((event: Event) => Promise<boolean>) | undefined
}

/** The query of a read, checked. Throws ProblemError. */
export function readEventsQuery(
  context: ApiContext,
  partition: number,
  query: unknown,
): { readonly params: Static<typeof EventsQuery>; readonly limit: number | "all" } & Pick<
  Selection,
  "from" | "passes"
> {
  return readQuery(EventsQuery, query, (params, faults) => {
    const limit = params.limit === "all" ? "all" : Number(params.limit ?? limitDefault)
    if (limit !== "all" && !(limit >= 1 && limit <= limitMax)) faults.add("limit", `must be 1 to ${limitMax}, or all`)
    if (limit === "all" && params.format === "json") faults.add("format", "must be ndjson where limit is all")
    const from = parseFrom(context, partition, params.from ?? "oldest", faults)
    return { params, limit, from, passes: parseFilterText(context, params.filters, faults) }
  })
}

/** The query of a stream, checked. Throws ProblemError. `lastEventId` is where the client has come to before. */
export function readStreamQuery(
  context: ApiContext,
  partition: number,
  query: unknown,
  lastEventId: string | undefined,
): Pick<Selection, "from" | "passes"> {
  return readQuery(StreamQuery, query, (params, faults) => {
    const passes = parseFilterText(context, params.filters, faults)
    const from = lastEventId
      ? parseCursor(context, partition, lastEventId, "Last-Event-ID", notCursor, faults)
      : parseFrom(context, partition, params.from ?? "newest", faults)
    return { from, passes }
  })
}

/** The address that a path names; throws ProblemError where no such topic is. */
export async function findAddress(context: ApiContext, tenant: string, text: string): Promise<Address> {
  const parsed = parseTopic(text)
  const absent = notFound(`there is no topic ${JSON.stringify(text)}; GET /v1/topics lists what there is`)
  if (typeof parsed === "string") throw absent
  const address = { tenant, ...parsed }
  if (isReservedTopic(parsed.topic)) return address
  if ((await context.engine.catalog.get(topicKeys.of({ tenant, id: parsed.topic }))) === undefined) throw absent
  return address
}

/** The tenant's event at a cursor; throws ProblemError where there is none. */
export async function eventAt(context: ApiContext, tenant: string, cursor: string): Promise<StoredEvent> {
  const absent = notFound(`there is no event at ${JSON.stringify(cursor)}, or retention has dropped it`)
  try {
    const stored = await context.engine.log.get(cursor as Cursor)
    if (stored?.address.tenant !== tenant) throw absent
    return stored
  } catch (error) {
    throw error instanceof InvalidCursorError ? notFound(error.message) : error
  }
}

/** Where reading begins, out of the text of a request; `faults` is told under `from`. */
export function parseFrom(context: ApiContext, partition: number, text: string, faults: Pick<Faults, "add">): From {
  if (text === "oldest" || text === "newest") return text
  if (isTimestamp(text)) return { time: Date.parse(text) }
  return parseCursor(context, partition, text, "from", notFrom, faults)
}

export const notCursor = "is no cursor of this topic"
const notFrom = "must be oldest, newest, a cursor of this topic, or an RFC 3339 time with its + written as %2B"

/** A cursor of one part of the log; what is none is told to `faults`. */
export function parseCursor(
  { engine: { log } }: ApiContext,
  partition: number,
  text: string,
  field: string,
  message: string,
  faults: Pick<Faults, "add">,
): Cursor {
  const cursor = text as Cursor
  try {
    log.compare(cursor, log.oldest(partition))
  } catch (error) {
    if (!(error instanceof InvalidCursorError)) throw error
    faults.add(field, message)
  }
  return cursor
}

function parseFilterText({ clock }: ApiContext, text: string | undefined, faults: Faults): Selection["passes"] {
  if (text === undefined || text === "") return undefined
  const parsed = parseFilters(parseJson(text))
  if (parsed.ok) return decideInTurns(parsed.filters, clock)
  for (const fault of parsed.faults) faults.add(fault.field, fault.message)
  return undefined
}

/** Others have their turn between events, and within one that takes long to decide. Undefined: every event passes. */
export function decideInTurns(filters: readonly Filter[], clock: Clock): Selection["passes"] {
  if (filters.length === 0) return undefined
  const passes = compileFilters(filters)
  const pace = createPace(clock)
  const rest = () => sleep(clock, 0)
  return async (event) => {
    await pace()
    const view = new EventView(event)
    return inTurns(view, turnSteps, () => passes(event, view), rest)
  }
}

/** What is no JSON stays text, which is no array of filters. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}
