import type { FastifyReply } from "fastify"
import Type from "typebox"
import type { Cursor } from "../../core/cursor.ts"
import type { ApiContext } from "../context.ts"
import { findAddress, readStreamQuery, type Selection, StreamQuery } from "../events/event-query.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "../routes.ts"

/** Server-sent events. */
export const streamType = "text/event-stream; charset=utf-8"

/** `GET …/stream`: a topic's events as they come, as server-sent events. */
export function streamRoutes(app: App, context: ApiContext): void {
  app.get("/v1/topics/:topic/stream", documented(streamDoc), async (request, reply) => {
    const address = await findAddress(context, tenantOf(request), pathPart(request, "topic"))
    const partition = context.engine.log.partitionOf(address)
    const { from, passes } = readStreamQuery(context, partition, request.query, headerOf(request, "last-event-id"))
    if (request.method === "HEAD") return reply.type(streamType).send()
    const { filters = "" } = request.query as { readonly filters?: string }
    const asked = { response: reply.raw, address, filters, passes }
    await context.streams.run(
      asked,
      () => startOf(context, { from, address }),
      () => beginStream(reply),
    )
  })
}

/** Answers that a stream begins. */
export function beginStream(reply: FastifyReply): void {
  reply.hijack()
  reply.raw.writeHead(200, { "content-type": streamType, "cache-control": "no-store", "x-accel-buffering": "no" })
  reply.raw.socket?.setNoDelay(true)
}

async function startOf(
  { engine: { log } }: ApiContext,
  { from, address }: Pick<Selection, "from" | "address">,
): Promise<Cursor> {
  const partition = log.partitionOf(address)
  if (from === "oldest") return log.oldest(partition)
  if (from === "newest") return log.head(partition)
  return typeof from === "string" ? from : log.at(from.time, partition)
}

const streamDoc = {
  operationId: "streamEvents",
  tag: "Events",
  summary: "Follow a topic live",
  description:
    "Server-sent events: `id` is the cursor, `data` the event as JSON. `Last-Event-ID` resumes after that cursor and " +
    "wins over `from`, whose default is `newest`. A comment comes every 15 s where nothing else does.",
  params: Type.Object({ topic: Type.String({ description: "A topic, or one key of it." }) }),
  query: StreamQuery,
  headers: Type.Object({
    "last-event-id": Type.Optional(Type.String({ description: "The last id that was received." })),
  }),
  answers: { 200: { content: { "text/event-stream": { schema: Type.String() } } } },
  problems: ["not-found", "overloaded"],
} as const
