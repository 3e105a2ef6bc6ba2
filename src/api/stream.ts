import type { ServerResponse } from "node:http"
import type { FastifyReply } from "fastify"
import Type from "typebox"
import type { Cursor } from "../core/cursor.ts"
import type { Batch } from "../core/engine.ts"
import { EventWriter } from "../formats/json-encode.ts"
import type { ApiContext } from "./context.ts"
import { ProblemError } from "./errors.ts"
import { findAddress, readStreamQuery, type Selection, StreamQuery } from "./event-query.ts"
import { flushBytes, write } from "./outflow.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "./routes.ts"

/** A line goes out this often at least, so that proxies and clients see that the stream lives. */
export const heartbeatMs = 15_000
/** A client that takes nothing for this long is cut off. It resumes with Last-Event-ID and has missed nothing. */
export const stallMs = 30_000
/** Streams open at once; each holds a connection and at most one buffer of events. */
const streamsMax = 1_000
const streamType = "text/event-stream; charset=utf-8"
/** When a client that was cut off comes back. */
const retryMs = 1_000

/** `GET …/stream`: a topic's events as they come, as server-sent events. */
export function streamRoutes(app: App, context: ApiContext): void {
  const open = new Set<ServerResponse>()
  app.get("/v1/topics/:topic/stream", documented(streamDoc), async (request, reply) => {
    const address = await findAddress(context, tenantOf(request), pathPart(request, "topic"))
    const partition = context.engine.log.partitionOf(address)
    const selection = readStreamQuery(context, partition, request.query, headerOf(request, "last-event-id"))
    if (request.method === "HEAD") return reply.type(streamType).send()
    if (context.stop.aborted || open.size >= streamsMax) {
      const detail = context.stop.aborted
        ? "the hub is stopping; try again soon"
        : `${streamsMax} streams are open already`
      throw new ProblemError("overloaded", detail, { headers: { "retry-after": "5" } })
    }
    open.add(reply.raw)
    try {
      await stream(context, reply, { address, ...selection })
    } finally {
      open.delete(reply.raw)
    }
  })
}

/**
 * Follows the log until the client goes or the hub stops. The client's pace is the reading's pace: what it has not taken
 * stays in the log, so that a slow client costs one buffer and no other client.
 */
async function stream(context: ApiContext, reply: FastifyReply, selection: Selection): Promise<void> {
  const { log } = context.engine
  const response = begin(reply)
  const over = new AbortController()
  const end = () => over.abort()
  response.once("close", end)
  context.stop.addEventListener("abort", end, { once: true })
  const from = await startOf(context, selection)
  const heart = createHeart(context, response, from)
  try {
    // The first id: a client that is cut off before its first event resumes from here.
    response.write(`retry: ${retryMs}\nid: ${from}\n\n`)
    for await (const batch of log.read({ where: selection.address, from, follow: over.signal })) {
      if (!(await writeBatch(context, response, batch, selection.passes))) return
      heart.beat(batch.next)
    }
    response.end(": the hub is stopping\n\n")
  } catch (error) {
    context.log?.error({ err: error }, "a stream broke off")
    response.destroy()
  } finally {
    heart.stop()
    over.abort()
    context.stop.removeEventListener("abort", end)
  }
}

function begin(reply: FastifyReply): ServerResponse {
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, {
    "content-type": streamType,
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  })
  response.socket?.setNoDelay(true)
  return response
}

async function startOf({ engine: { log } }: ApiContext, { from, address }: Selection): Promise<Cursor> {
  const partition = log.partitionOf(address)
  if (from === "oldest") return log.oldest(partition)
  if (from === "newest") return log.head(partition)
  return typeof from === "string" ? from : log.at(from.time, partition)
}

/** One write per batch or buffer, whichever is smaller; false once the client is gone. */
async function writeBatch(
  { clock }: ApiContext,
  response: ServerResponse,
  { events }: Batch,
  passes: Selection["passes"],
): Promise<boolean> {
  const writer = new EventWriter()
  for (const stored of events) {
    if (passes !== undefined && !(await passes(stored.event))) continue
    writer.text(`id: ${stored.cursor}\ndata: `)
    writer.event(stored.event, stored, true)
    writer.text("\n\n")
    if (writer.length >= flushBytes && !(await write(response, writer.take(), clock, stallMs))) return false
  }
  return writer.length === 0 ? !response.destroyed : write(response, writer.take(), clock, stallMs)
}

/** Says that the stream lives, and how far it has come, whenever nothing was written for a while. */
function createHeart({ clock }: ApiContext, response: ServerResponse, from: Cursor) {
  let position = from
  let cancel = () => {}
  const arm = () => {
    cancel()
    cancel = clock.after(heartbeatMs, () => {
      // What waits for the client already says that the stream lives.
      if (!response.writableNeedDrain) response.write(`:\nid: ${position}\n\n`)
      arm()
    })
  }
  arm()
  return {
    beat(next: Cursor) {
      position = next
      arm()
    },
    stop: () => cancel(),
  }
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
  problems: ["invalid-argument", "not-found", "overloaded"],
} as const
