import type { FastifyReply, FastifyRequest } from "fastify"
import { parseTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Subscription } from "../../core/subscriptions.ts"
import { filtersFault } from "../../filters/index.ts"
import type { Standing } from "../../resources/subscription-positions.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { decideInTurns, type Selection } from "../events/event-query.ts"
import { type EventPage, PageBody, readPage } from "../events/page.ts"

/** What is read of a subscription. */
export interface Reading extends Standing {
  /** Where reading begins, where that is not the position. */
  readonly from: Cursor | undefined
  readonly limit: number
  /** How long to wait where there is nothing. */
  readonly waitMs: number
}

/** The topic of a subscription, and its filters. Throws ProblemError where it cannot be read. */
export function selectionOf(
  { clock }: ApiContext,
  { id, tenant, topic, filters }: Subscription,
  from: Cursor,
): Selection & { readonly from: Cursor } {
  const parsed = parseTopic(topic)
  const fault = typeof parsed === "string" ? `topic: ${parsed}` : filtersFault(filters)
  if (fault !== undefined || typeof parsed === "string")
    throw new ProblemError("conflict", `subscription ${id} cannot be read: ${fault}; change it`)
  return { address: { tenant, ...parsed }, from, passes: decideInTurns(filters, clock) }
}

/** Events after the position, or after `from`; waits for the first one where there is none. The position stays where it is. */
export async function readSubscription(
  context: ApiContext,
  { subscription, position, from = position.cursor, limit, waitMs }: Reading,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { log } = context.engine
  const selection = selectionOf(context, subscription, from)
  const share = context.room.shareOf(request)
  const read = async (from: Cursor) => {
    const page = await readPage(context, { ...selection, from }, limit, new PageBody("items", share))
    // Whoever waits holds nothing.
    if (isEmpty(page)) share.shrink(0)
    return page
  }
  let page = await read(from)
  if (isEmpty(page) && waitMs > 0) page = await waitFor(context, selection, { page, read, waitMs }, reply)
  // Asked when all is read: what was dropped before that may be missing.
  const dropped = await log.dropped(selection.address)
  const missed = dropped !== undefined && log.compare(from, dropped) < 0
  const { cursor, epoch } = position
  const { next, more } = page
  const rest = { next, more, position: { cursor, epoch }, ...(missed && { missed: { after: from, until: dropped } }) }
  return reply.type("application/json; charset=utf-8").send(page.body.take(rest))
}

function isEmpty({ body, more }: EventPage): boolean {
  return body.events === 0 && !more
}

interface Waiting {
  /** What there was, which is nothing. */
  readonly page: EventPage
  read(from: Cursor): Promise<EventPage>
  readonly waitMs: number
}

/** A page with events, or an empty one when the time is over, the client has gone or the hub stops. */
async function waitFor(
  { polls, streams, woken, clock, stop }: ApiContext,
  { address }: Selection,
  { page: first, read, waitMs }: Waiting,
  { raw }: FastifyReply,
): Promise<EventPage> {
  const over = new AbortController()
  const leave = () => over.abort()
  const giveBack = polls.take(address.tenant)
  const cancel = clock.after(waitMs, leave)
  raw.once("close", leave)
  if (raw.destroyed) leave()
  const until = AbortSignal.any([over.signal, stop])
  try {
    const watch = await streams.watch(address)
    try {
      let page = first
      // Ends: with `until`, at `waitMs` at the latest, or when the topic cannot be followed any more.
      while (isEmpty(page) && !until.aborted) {
        const seen = watch.end
        if (seen === undefined) break
        page = await woken.run(() => read(page.next))
        if (isEmpty(page) && watch.end === seen) await watch.more(until)
      }
      return page
    } finally {
      watch.leave()
    }
  } finally {
    cancel()
    raw.off("close", leave)
    giveBack()
  }
}
