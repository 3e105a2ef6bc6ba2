import Type, { type Static } from "typebox"
import { formatTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import {
  decide,
  decisionAttribute,
  delayedDestination,
  delayedTriggerOf,
  deliverAtOf,
  isDelayed,
  standingOf,
  targetOf,
} from "../../core/delayed.ts"
import { InvalidCursorError } from "../../core/errors.ts"
import type { StoredEvent } from "../../core/log.ts"
import { component, strict, Timestamp } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { readQuery } from "../fields.ts"
import { PageItems, pageSizeDefault, parsePageToken } from "../paging.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { PageQuery, pageOf } from "../schemas.ts"

/** Delivery rows read at once. */
const readAtOnce = 64
/** A page ends after so long, though it may not be full. */
const pageMs = 2_000

const ListQuery = strict({
  topic: Type.Optional(Type.String({ description: "Only those of this topic." })),
  ...PageQuery,
})

const DelayedSchema = component(
  "DelayedEvent",
  Type.Object({
    id: Type.String({ description: "By which it is cancelled." }),
    topic: Type.String({ description: "Where it is published when it is due, with its key." }),
    deliverAt: Timestamp,
    publishedAt: Timestamp,
    event: Type.Object({ id: Type.String(), source: Type.String(), type: Type.String() }),
  }),
)

/** Events that wait until they are due: to be seen, and to be cancelled. */
export function delayedRoutes(app: App, context: ApiContext): void {
  const { engine, clock, stop } = context
  app.get("/v1/delayed", documented(docs.list), async (request, reply) => {
    const { pageSize = pageSizeDefault, pageToken, topic } = readQuery(ListQuery, request.query)
    const tenant = tenantOf(request)
    const query = [tenant, "delayed", topic]
    const items = new PageItems<Static<typeof DelayedSchema>>(pageSize, context.room.shareOf(request))
    const asked = {
      ...{ tenant, destination: delayedDestination, limit: Math.min(readAtOnce, pageSize + 1) },
      ...(topic !== undefined && { trigger: delayedTriggerOf(topic) }),
    }
    let after = parsePageToken(query, pageToken)
    const until = clock.steady() + pageMs
    // Ends: with the events, when the page is full, or after a time.
    do {
      const page = await engine.queue.openDeliveries({ ...asked, ...(after !== undefined && { after }) })
      const waiting = await Promise.all(page.deliveries.map(({ delivery }) => find(context, tenant, delivery.cursor)))
      for (const [i, stored] of waiting.entries()) {
        if (stored !== undefined && !items.add(shown(stored), page.deliveries[i]!.delivery.id)) return items.page(query)
      }
      after = page.next
    } while (after !== undefined && clock.steady() < until && !stop.aborted && !reply.raw.destroyed)
    return items.page(query, after)
  })
  app.delete("/v1/delayed/:id", documented(docs.cancel), async (request, reply) => {
    const id = pathPart(request, "id")
    const stored = await find(context, tenantOf(request), id as Cursor)
    const detail = `no event waits as ${id}: there is none, or it is published or cancelled; GET /v1/delayed lists what waits`
    if (stored === undefined) throw new ProblemError("not-found", detail)
    if ((await decide(context.delayedIn, stored, "cancelled", stored.cursor)) === undefined) {
      throw new ProblemError("not-found", detail)
    }
    return reply.code(204).send()
  })
}

/** The event that waits at this cursor. */
async function find({ delayedIn }: ApiContext, tenant: string, cursor: Cursor): Promise<StoredEvent | undefined> {
  let stored: StoredEvent | undefined
  try {
    stored = await delayedIn.get(cursor)
  } catch (error) {
    if (error instanceof InvalidCursorError) return undefined
    throw error
  }
  if (stored === undefined || stored.address.tenant !== tenant || !isDelayed(stored.address)) return undefined
  if (stored.event.attribute(decisionAttribute) !== undefined) return undefined
  return (await standingOf(delayedIn, stored)).decision === undefined ? stored : undefined
}

function shown({ address, cursor, storedAt, event }: StoredEvent): Static<typeof DelayedSchema> {
  const { id, source, type } = event
  return {
    id: cursor,
    topic: formatTopic(targetOf(address)),
    deliverAt: new Date(deliverAtOf(event)).toISOString(),
    publishedAt: new Date(storedAt).toISOString(),
    event: { id, source, type },
  }
}

const tag = "Events"

const docs = {
  list: {
    operationId: "listDelayedEvents",
    tag,
    summary: "List events that are delayed",
    description:
      "Those whose `deliverat` is in the future, in the order in which they were published; one that was published a moment ago may " +
      "not be there yet.",
    query: ListQuery,
    answers: { 200: pageOf("DelayedEventPage", DelayedSchema) },
  },
  cancel: {
    operationId: "cancelDelayedEvent",
    tag,
    summary: "Cancel a delayed event",
    description: "It is never published. 404 where it is published already, or about to be.",
    params: strict({ id: Type.String({ description: "As publishing and the list answer it." }) }),
    answers: { 204: null },
    problems: ["not-found"],
  },
} as const
