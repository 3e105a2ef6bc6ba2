import type { FastifyReply } from "fastify"
import type { ApiContext } from "./context.ts"
import { write } from "./outflow.ts"

export const linesType = "application/x-ndjson"
/** A client that takes nothing for this long is cut off. */
const stallMs = 60_000

/**
 * Answers with one JSON line after the other, as they come. A slow client slows only them; one that goes away ends them.
 * Once the status is sent, `{"kind":"failed","detail":…}` says what a problem would have said.
 */
export async function answerLines(
  { clock, log }: ApiContext,
  reply: FastifyReply,
  what: string,
  lines: AsyncIterable<object>,
): Promise<void> {
  const response = reply.raw
  reply.hijack()
  response.writeHead(200, { "content-type": linesType, "cache-control": "no-store" })
  try {
    for await (const line of lines) {
      if (!(await write(response, `${JSON.stringify(line)}\n`, clock, stallMs))) return
    }
    response.end()
  } catch (error) {
    log?.error({ err: error }, `${what} broke off`)
    response.end(`${JSON.stringify({ kind: "failed", detail: "the hub failed; its log says why" })}\n`)
  }
}
