import Type, { type Static } from "typebox"
import { isReservedTopic } from "../../core/address.ts"
import { topicKeys } from "../../core/catalog-keys.ts"
import { scan } from "../../core/catalog-scan.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { StoredEvent } from "../../core/log.ts"
import { createPace } from "../../core/pace.ts"
import type { Topic } from "../../core/resources.ts"
import { component, strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { readQuery } from "../fields.ts"
import { formatPageToken, parsePageToken } from "../paging.ts"
import type { Share } from "../room.ts"
import { type App, documented, tenantOf } from "../routes.ts"
import { findAddress } from "./event-query.ts"
import { FlowEventSchema } from "./journey.ts"
import { type FlowEvent, flowEvent } from "./lineage.ts"

/*
 * Events by their id alone. No index has ids without their source, so the log is read, in stretches of time from the newest
 * on, each twice as long as the one before it; a request ends where it has read so much, and its page token goes on there.
 * Where the source is known too, the topics' indexes tell.
 */

/** One request looks at so many events at most, and for so long. */
const limits = { eventsMax: 50_000, searchMsMax: 2_000 }
/** Found events that one answer holds at most. */
const foundMax = 100
const firstStretchMs = 60_000

const FindQuery = strict({
  id: Type.String({ description: "The event's id.", minLength: 1, examples: ["4711"] }),
  source: Type.Optional(
    Type.String({ description: "Its source: then the indexes are asked, and all topics at once." }),
  ),
  topic: Type.Optional(Type.String({ description: "Only on this topic, or on one key of it." })),
  pageToken: Type.Optional(
    Type.String({ description: "The `nextPageToken` of the answer before, to look further back." }),
  ),
})

const FoundPage = component(
  "FoundEvents",
  Type.Object({
    items: Type.Array(FlowEventSchema),
    searched: Type.Object(
      {
        events: Type.Integer({ description: "How many events this request looked at; 0 where an index told." }),
        since: Type.Optional(Type.String({ format: "date-time", description: "Back to when all are looked at." })),
        complete: Type.Boolean({ description: "Whether nothing is left to look at." }),
      },
      { description: "What was looked at." },
    ),
    nextPageToken: Type.Optional(Type.String({ description: "Absent where nothing is left to look at." })),
  }),
)

/** Adds `GET /v1/events`. */
export function findRoutes(app: App, context: ApiContext): void {
  app.get("/v1/events", documented(doc), async (request): Promise<Static<typeof FoundPage>> => {
    const { id, source, topic, pageToken } = readQuery(FindQuery, request.query)
    const tenant = tenantOf(request)
    const where = topic === undefined ? { tenant } : await findAddress(context, tenant, topic)
    const query = [tenant, "find", id, topic]
    const share = context.room.shareOf(request)
    if (source !== undefined) return found(await bySource(context, where, { id, source }), share)
    const after = parsePageToken(query, pageToken)
    const search = new Search(context, where, id, share, after === undefined ? undefined : parsePlace(after))
    const { items, events, place, since } = await search.run()
    return {
      items,
      searched: { events, ...(since && { since: new Date(since).toISOString() }), complete: place === undefined },
      ...(place && { nextPageToken: formatPageToken(query, formatPlace(place)) }),
    }
  })
}

type Where = { readonly tenant: string; readonly topic?: string; readonly key?: string }

function found(events: readonly StoredEvent[], share: Share): Static<typeof FoundPage> {
  const items = events.slice(0, foundMax).map((stored) => shown(stored, share))
  return { items: [...items], searched: { events: 0, complete: true } }
}

function shown(stored: StoredEvent, share: Pick<Share, "add">): FlowEvent {
  const item = flowEvent(stored)
  share.add(JSON.stringify(item).length)
  return item
}

/** The newest of each topic, newest first. */
async function bySource(context: ApiContext, where: Where, identity: { readonly id: string; readonly source: string }) {
  const { tenant, topic, key } = where
  const events: StoredEvent[] = []
  const pace = createPace(context.clock)
  const look = async (name: string) => {
    await pace()
    const event = await context.engine.log.find({ tenant, topic: name }, identity)
    if (event !== undefined && (key === undefined || event.address.key === key)) events.push(event)
    return true
  }
  if (topic !== undefined) await look(topic)
  else {
    const names: string[] = []
    await scan<Topic>(context, topicKeys.ofTenant(tenant), ({ value }) => {
      names.push(value.id)
      return true
    })
    for (const name of names) await look(name)
  }
  return events.sort((a, b) => b.storedAt - a.storedAt)
}

/** How far a search has come. */
export interface Place {
  /** All events stored at or after this time are looked at, Unix milliseconds; undefined: it begins at the end of the log. */
  readonly until?: number
  /** How long the present stretch is, which ends there. */
  readonly stretchMs: number
  /** The partition that is being read, and after which event. */
  readonly partition: number
  readonly from?: Cursor
}

function formatPlace({ until, stretchMs, partition, from = "" as Cursor }: Place): string {
  return [until, stretchMs, partition, from].join(".")
}

/** Throws ProblemError for what {@link formatPlace} cannot have made. */
function parsePlace(text: string): Place {
  const [, until, stretchMs, partition, from] = /^(\d{1,15})\.([1-9]\d{0,15})\.(\d{1,6})\.([0-9a-z]*)$/.exec(text) ?? []
  if (until === undefined) {
    const message = "is not a page token; leave it out to begin with the newest event"
    throw new ProblemError("invalid-argument", `pageToken ${message}`, { errors: [{ field: "pageToken", message }] })
  }
  return {
    until: Number(until),
    stretchMs: Number(stretchMs),
    partition: Number(partition),
    ...(from && { from: from as Cursor }),
  }
}

interface Searched {
  readonly items: FlowEvent[]
  readonly events: number
  /** All that was stored since is looked at; undefined before the first stretch is done. */
  readonly since: number | undefined
  /** Where to go on; undefined at the end. */
  readonly place: Place | undefined
}

/** One request's part of a search. */
export class Search {
  readonly #context: Pick<ApiContext, "engine" | "clock" | "turns">
  readonly #where: Where
  readonly #id: string
  readonly #share: Pick<Share, "add">
  readonly #begun: number
  readonly #now: number
  readonly #limits: typeof limits
  #place: Place
  #since: number | undefined
  #events = 0

  constructor(
    context: Pick<ApiContext, "engine" | "clock" | "turns">,
    where: Where,
    id: string,
    share: Pick<Share, "add">,
    place: Place = { stretchMs: firstStretchMs, partition: 0 },
    bounds = limits,
  ) {
    this.#context = context
    this.#where = where
    this.#id = id
    this.#share = share
    this.#begun = context.clock.steady()
    this.#now = context.clock.now()
    this.#limits = bounds
    this.#place = place
    this.#since = place.until
  }

  get #partitions(): readonly number[] {
    const { log } = this.#context.engine
    const { tenant, topic } = this.#where
    if (topic !== undefined) return [log.partitionOf({ tenant, topic })]
    return Array.from({ length: log.partitions }, (_, partition) => partition)
  }

  /** Ends with the stretch in which something was found, when it has looked at enough, or at the beginning of the log. */
  async run(): Promise<Searched> {
    const items: FlowEvent[] = []
    // Ends: each stretch is before the last one, and twice as long.
    while (items.length === 0) {
      const isDone = await this.#stretch(items)
      if (!isDone) return this.#searched(items, this.#place)
      if (await this.#isBeginning()) return this.#searched(items, undefined)
    }
    return this.#searched(items, this.#place)
  }

  #searched(items: FlowEvent[], place: Place | undefined): Searched {
    return { items, events: this.#events, since: this.#since, place }
  }

  /** Reads the present stretch to its end, and goes on to the one before it; false where it has looked at enough meanwhile. */
  async #stretch(items: FlowEvent[]): Promise<boolean> {
    const met: FlowEvent[] = []
    const { until, stretchMs } = this.#place
    for (const partition of this.#partitions) {
      if (partition < this.#place.partition) continue
      const isRead = await this.#read(partition, met)
      if (!isRead) {
        items.push(...met.reverse())
        return false
      }
      this.#place = { ...(until !== undefined && { until }), stretchMs, partition: partition + 1 }
    }
    items.push(...met.sort((a, b) => b.storedAt.localeCompare(a.storedAt) || b.cursor.localeCompare(a.cursor)))
    const since = Math.max(0, (until ?? this.#now) - stretchMs)
    this.#since = since
    this.#place = { until: since, stretchMs: 2 * stretchMs, partition: 0 }
    return true
  }

  async #read(partition: number, met: FlowEvent[]): Promise<boolean> {
    const { log } = this.#context.engine
    const { until, stretchMs, from } = this.#place
    const last = until === undefined ? await log.head(partition) : await log.at(until, partition)
    const start = from ?? (await log.at(Math.max(0, (until ?? this.#now) - stretchMs), partition))
    if (log.compare(start, last) >= 0) return true
    for await (const batch of log.read({ where: this.#where, partition, from: start, until: last })) {
      await this.#context.turns.next()
      for (const stored of batch.events) {
        if (stored.event.id === this.#id && !isReservedTopic(stored.address.topic)) met.push(shown(stored, this.#share))
      }
      this.#events += batch.events.length
      if (log.compare(batch.next, last) >= 0) return true
      if (!this.#hasEnough(met)) continue
      // What is stored from now on is no part of it, so that it comes to an end.
      const end = until === undefined ? { until: this.#now + 1, stretchMs: stretchMs + 1 } : { until, stretchMs }
      this.#place = { ...end, partition, from: batch.next }
      return false
    }
    return true
  }

  #hasEnough(met: readonly FlowEvent[]): boolean {
    const tookMs = this.#context.clock.steady() - this.#begun
    return met.length >= foundMax || this.#events >= this.#limits.eventsMax || tookMs > this.#limits.searchMsMax
  }

  /** Whether nothing is before the present stretch. */
  async #isBeginning(): Promise<boolean> {
    const { log } = this.#context.engine
    for (const partition of this.#partitions) {
      const { until = this.#now } = this.#place
      if (log.compare(await log.at(until, partition), await log.at(0, partition)) > 0) return false
    }
    return true
  }
}

const doc = {
  operationId: "findEvents",
  tag: "Events",
  summary: "Find events by their id",
  description:
    "On all topics of the tenant, newest first, without their data. Without `source` the log is read from the newest event " +
    `back, up to ${limits.eventsMax} events or ${limits.searchMsMax / 1_000} s in one request: where nothing was found yet, go on with \`pageToken\`. ` +
    "An answer ends with the stretch of time in which something was found.",
  query: FindQuery,
  answers: { 200: FoundPage },
  problems: ["not-found"],
} as const
