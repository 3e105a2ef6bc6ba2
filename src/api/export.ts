import type { FastifyReply } from "fastify"
import type { Cursor } from "../core/cursor.ts"
import { EventWriter } from "../formats/json-encode.ts"
import type { ApiContext } from "./context.ts"
import { withinTime } from "./deadline.ts"
import type { Selection } from "./events/event-query.ts"
import { bufferBytes, flushBytes, write } from "./outflow.ts"

/** Exports at a time, half of them of one tenant at most: each holds a buffer, and a batch of events, for as long as its client wants. */
export const exportsMax = 64
/** An export to a client that takes nothing for this long is cut off. */
const stallMs = 60_000

/** Streams every event up to the present end, a buffer at a time. A slow client slows only its own reading. */
export async function exportEvents(context: ApiContext, reply: FastifyReply, selection: Selection): Promise<void> {
  const { exports, clock } = context
  const giveBack = exports.take(selection.address.tenant)
  try {
    const { log } = context.engine
    const until = await withinTime(clock, log.head(log.partitionOf(selection.address)))
    reply.hijack()
    reply.raw.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" })
    await writeEvents(context, reply, { ...selection, until })
  } finally {
    giveBack()
  }
}

async function writeEvents(
  { engine, clock, turns, log }: ApiContext,
  { raw: response }: FastifyReply,
  { address, from, until, passes }: Selection & { readonly until: Cursor },
): Promise<void> {
  const writer = new EventWriter(bufferBytes)
  try {
    for await (const { events } of engine.log.read({ where: address, from, until })) {
      await turns.next()
      for (const stored of events) {
        if (passes !== undefined && !(await passes(stored.event))) continue
        writer.line(stored.event, stored)
        if (writer.length < flushBytes) continue
        if (!(await write(response, writer.take(), clock, stallMs))) return
        await turns.next()
      }
      if (response.destroyed) return
    }
    response.end(writer.take())
  } catch (error) {
    // The status is sent: breaking off is all that tells the client.
    log?.error({ err: error }, "an export broke off")
    response.destroy()
  }
}
