import type { FastifyReply, FastifyRequest } from "fastify"
import Type from "typebox"
import { type Address, formatTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { StoredEvent } from "../../core/log.ts"
import { encodeEvent } from "../../formats/json-encode.ts"
import { checkedElsewhere, strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { deliveriesOf } from "../deliveries/deliveries.ts"
import { notFound } from "../errors.ts"
import { exportEvents } from "../export.ts"
import { readQuery } from "../fields.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "../routes.ts"
import { EventsQuery, eventAt, findAddress, readEventsQuery } from "./event-query.ts"
import { PageBody, readPage } from "./page.ts"

const batchType = "application/cloudevents-batch+json"
const linesType = "application/x-ndjson"
const eventType = "application/cloudevents+json"

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
    const page = await readPage(
      context,
      selection,
      limit,
      new PageBody(lines ? "lines" : "batch", context.room.shareOf(request)),
    )
    reply.header("redcar-next-cursor", page.next)
    if (page.more) reply.header("link", `<${nextUrl(request, page.next)}>; rel="next"`)
    return reply.type(lines ? linesType : batchType).send(page.body.take())
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
