import type { FastifyReply, FastifyRequest } from "fastify"
import Type from "typebox"
import { type Address, formatTopic } from "../../core/address.ts"
import { smallBytes } from "../../core/budget.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { StoredEvent } from "../../core/log.ts"
import { EventWriter, encodeEvent } from "../../formats/json-encode.ts"
import { checkedElsewhere, strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { deliveriesOf } from "../deliveries/deliveries.ts"
import { notFound } from "../errors.ts"
import { exportEvents } from "../export.ts"
import { readQuery } from "../fields.ts"
import type { Share } from "../room.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "../routes.ts"
import { EventsQuery, eventAt, findAddress, readEventsQuery, type Selection } from "./event-query.ts"

const batchType = "application/cloudevents-batch+json"
const linesType = "application/x-ndjson"
const eventType = "application/cloudevents+json"

/** A page ends with the event that reaches this, so that a page of large events stays small in memory. */
const pageBytesMax = 4 * 1024 * 1024
/** What each takes besides its own bytes. */
const eventOverheadBytes = 256
/** A page whose filters let little through ends after this many events; its cursor goes on. */
const pageScanMax = 200_000

const EventQuery = strict({ source: Type.String({ description: "The event's source." }) })
const eventAnswer = { content: { [eventType]: { schema: checkedElsewhere("StoredEvent") } } }

/** Reading events: a topic's by page or all at once, one by its id, one by its cursor, and what became of it. */
export function eventRoutes(app: App, context: ApiContext): void {
  const { log } = context.engine
  app.get("/v1/topics/:topic/events", documented(readDoc), async (request, reply) => {
    const address = await findAddress(context, tenantOf(request), pathPart(request, "topic"))
    const { params, limit, from, passes } = readEventsQuery(context, log.partitionOf(address), request.query)
    const selection = { address, from, passes }
    if (limit === "all" && request.method === "HEAD") return reply.type(linesType).send()
    if (limit === "all") return exportEvents(context, reply, selection)
    const lines = params.format === "ndjson" || (params.format === undefined && acceptsLines(request))
    const page = await readPage(context, selection, limit, new PageBody(lines, context.room.shareOf(request)))
    reply.header("redcar-next-cursor", page.next)
    if (page.more) reply.header("link", `<${nextUrl(request, page.next)}>; rel="next"`)
    return reply.type(lines ? linesType : batchType).send(page.body)
  })
  app.get("/v1/topics/:topic/events/:id", documented(findDoc), async (request, reply) => {
    const { source } = readQuery(EventQuery, request.query)
    const address = await findAddress(context, tenantOf(request), pathPart(request, "topic"))
    const id = pathPart(request, "id")
    const found = await log.find(address, { source, id })
    if (found === undefined || !covers(address, found.address)) {
      throw notFound(`topic ${formatTopic(address)} has no event with id ${JSON.stringify(id)} of source ${source}`)
    }
    return sendEvent(reply, found)
  })
  app.get("/v1/events/:cursor", documented(getDoc), async (request, reply) =>
    sendEvent(reply, await eventAt(context, tenantOf(request), pathPart(request, "cursor"))),
  )
  app.get("/v1/events/:cursor/deliveries", documented(deliveriesDoc), async (request) => {
    const stored = await eventAt(context, tenantOf(request), pathPart(request, "cursor"))
    return { items: await deliveriesOf(context, stored, context.room.shareOf(request)) }
  })
}

interface EventPage {
  readonly body: Uint8Array
  readonly next: Cursor
  /** Whether it ended before the log did. */
  readonly more: boolean
}

/** A page as it grows. What its events were read from is let go at once: it may be much larger than they are. */
class PageBody {
  readonly #isLines: boolean
  readonly #share: Share
  readonly #writer = new EventWriter(smallBytes)
  events = 0

  /** Takes room for the reading. Throws ProblemError where there is none: then nothing is read. */
  constructor(isLines: boolean, share: Share) {
    this.#isLines = isLines
    this.#share = share
    const refusal = share.hold(smallBytes)
    if (refusal !== undefined) throw refusal
  }

  get isFull(): boolean {
    return this.#writer.length >= pageBytesMax
  }

  /** False where there is no room for it, and the page ends before it. Throws ProblemError where it is the first. */
  add(stored: StoredEvent): boolean {
    const refusal = this.#share.hold(this.#writer.length + bytesOf(stored))
    if (refusal !== undefined && this.events === 0) throw refusal
    if (refusal !== undefined) return false
    if (this.#isLines) this.#writer.line(stored.event, stored)
    else {
      this.#writer.text(this.events === 0 ? "[" : ",")
      this.#writer.event(stored.event, stored)
    }
    this.events++
    return true
  }

  take(): Buffer {
    if (!this.#isLines) this.#writer.text(this.events === 0 ? "[]" : "]")
    const bytes = this.#writer.take()
    // The buffer doubles as it grows: what is of no use is not held until the client has the rest.
    return bytes.length < bytes.buffer.byteLength * 0.75 ? Buffer.from(bytes) : bytes
  }
}

/** Where the room for answers is full the page ends early, or there is none. */
async function readPage(context: ApiContext, selection: Selection, limit: number, body: PageBody): Promise<EventPage> {
  const { log } = context.engine
  const { address, from, passes } = selection
  let scanned = 0
  const given = typeof from === "string" && from !== "oldest" && from !== "newest"
  let next: Cursor = given ? from : await log.head(log.partitionOf(address))
  const page = (more: boolean): EventPage => ({ body: body.take(), next, more })
  for await (const batch of log.read({ where: address, from, batchMax: passes ? 1_000 : Math.min(limit, 1_000) })) {
    await context.turns.next()
    for (const stored of batch.events) {
      if (passes !== undefined && !(await passes(stored.event))) continue
      if (!body.add(stored)) return page(true)
      next = stored.cursor
      if (body.events === limit || body.isFull) return page(true)
    }
    next = batch.next
    scanned += batch.events.length
    if (scanned >= pageScanMax) return page(true)
  }
  return page(false)
}

/** What an event holds in memory, about. */
function bytesOf({ event }: StoredEvent): number {
  return event.attributesJson.length + (event.data?.length ?? 0) + eventOverheadBytes
}

function sendEvent(reply: FastifyReply, stored: StoredEvent): FastifyReply {
  reply.header("redcar-topic", formatTopic(stored.address))
  return reply.type(eventType).send(encodeEvent(stored.event, stored))
}

/** Whether an event at `of` is among those of `address`: a topic covers its keys. */
function covers(address: Address, of: Address): boolean {
  return address.key === undefined || address.key === of.key
}

function acceptsLines(request: FastifyRequest): boolean {
  return /application\/(x-)?ndjson/i.test(headerOf(request, "accept") ?? "")
}

function nextUrl(request: FastifyRequest, next: Cursor): string {
  const url = new URL(request.url, "http://hub")
  url.searchParams.set("from", next)
  return url.pathname + url.search
}

const topicParams = Type.Object({
  topic: Type.String({ description: "A topic, or one key of it: `orders`, `orders:123`." }),
})
const cursorParams = Type.Object({ cursor: Type.String({ description: "The event's cursor." }) })
const tag = "Events"

const readDoc = {
  operationId: "readEvents",
  tag,
  summary: "Read events",
  description:
    "Events in log order, with their cursor and time of storing as `redcarcursor` and `redcartime`. " +
    "A page of large events ends early. `redcar-next-cursor` is where to read on; `Link` is there while more follows at once.",
  params: topicParams,
  query: EventsQuery,
  answers: {
    200: {
      headers: {
        "redcar-next-cursor": { type: "string", description: "Where reading goes on." },
        link: { type: "string", description: 'The next page, rel="next".' },
      },
      content: {
        [batchType]: { schema: Type.Array(checkedElsewhere("StoredEvent")) },
        [linesType]: { schema: checkedElsewhere("StoredEvent", { description: "One event a line." }) },
      },
    },
  },
  problems: ["not-found"],
} as const

const findDoc = {
  operationId: "findEvent",
  tag,
  summary: "Find an event by its id",
  params: Type.Object({ ...topicParams.properties, id: Type.String({ description: "The event's id." }) }),
  query: EventQuery,
  answers: { 200: eventAnswer },
  problems: ["not-found"],
} as const

const getDoc = {
  operationId: "getEvent",
  tag,
  summary: "Read the event at a cursor",
  params: cursorParams,
  answers: { 200: eventAnswer },
  problems: ["not-found"],
} as const

const deliveriesDoc = {
  operationId: "listDeliveries",
  tag,
  summary: "See what became of an event",
  description: "Its deliveries, one per trigger that it fired, with every attempt that is kept.",
  params: cursorParams,
  answers: { 200: Type.Object({ items: Type.Array(checkedElsewhere("Delivery")) }) },
  problems: ["not-found"],
} as const
