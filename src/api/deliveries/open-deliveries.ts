import Type, { type Static } from "typebox"
import { formatTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { delayedDestination } from "../../core/delayed.ts"
import { type OpenDelivery, openStates } from "../../core/open-delivery.ts"
import { choice, component, strict } from "../../resources/schemas.ts"
import { mayBeId } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { readQuery } from "../fields.ts"
import { PageItems, pageSizeDefault, parsePageToken } from "../paging.ts"
import { type App, documented, tenantOf } from "../routes.ts"
import { PageQuery, pageOf } from "../schemas.ts"
import { eventOf } from "./event-of.ts"
import { HeldBacks, heldBackFields } from "./held-back.ts"

/** Deliveries read at once: of each the event is looked at. */
const readAtOnce = 64
/** A page ends after so long, though it may not be full. */
const pageMs = 2_000

const ListQuery = strict({
  trigger: Type.Optional(Type.String({ description: "Only those of this trigger." })),
  destination: Type.Optional(Type.String({ description: "Only those of this destination." })),
  state: Type.Optional(choice(openStates, { description: "Only those in this state." })),
  ...PageQuery,
})

const OpenDeliverySchema = component(
  "OpenDelivery",
  Type.Object(
    {
      id: Type.String(),
      cursor: Type.String({ description: "The event's." }),
      topic: Type.Optional(
        Type.String({ description: "The event's, with its key; absent where the event is not there, or is damaged." }),
      ),
      trigger: Type.String(),
      destination: Type.String(),
      state: choice(openStates, {
        description:
          "due: waits for its turn; leased: being sent; parked: waits for its retry; held: its trigger is paused; waiting: for " +
          "another one of its order key.",
      }),
      replay: Type.Optional(
        Type.String({ description: "The replay that made it; absent of one that was made when its event came." }),
      ),
      orderKey: Type.Optional(Type.String({ description: "Of an ordered trigger's: what makes its order." })),
      attempts: Type.Integer({ description: "How many there were." }),
      dueAt: Type.String({
        format: "date-time",
        description: "When it is due, or was; of a held one, since when it is held.",
      }),
      firstDueAt: Type.String({
        format: "date-time",
        description:
          "Since when it is owed; the time for which it was held, and what was before a redrive, do not count.",
      }),
      ...heldBackFields,
    },
    { description: "A delivery that is neither done nor dead." },
  ),
)

/** The deliveries that are neither done nor dead. */
export function openDeliveryRoutes(app: App, context: ApiContext): void {
  const { engine, clock, stop } = context
  app.get("/v1/deliveries", documented(doc), async (request, reply) => {
    const { pageSize = pageSizeDefault, pageToken, ...filter } = readQuery(ListQuery, request.query)
    const tenant = tenantOf(request)
    const query = [tenant, "deliveries", filter.trigger, filter.destination, filter.state]
    const items = new PageItems<Static<typeof OpenDeliverySchema>>(pageSize, context.room.shareOf(request))
    let after = parsePageToken(query, pageToken)
    if (filter.destination !== undefined && !mayBeId(filter.destination)) return items.page(query)
    const show = shower(context)
    const heldBacks = new HeldBacks(context, tenant)
    const until = clock.steady() + pageMs
    // Ends: with the deliveries, when the page is full, or after a time.
    do {
      const asked = { tenant, ...filter, limit: Math.min(readAtOnce, pageSize + 1) }
      const page = await engine.queue.openDeliveries({ ...asked, ...(after !== undefined && { after }) })
      const deliveries = page.deliveries.filter(({ delivery }) => delivery.destination !== delayedDestination)
      await heldBacks.look(deliveries)
      for (const open of deliveries) {
        const shown = { ...(await show(open)), ...heldBacks.of(open) }
        if (!items.add(shown, open.delivery.id)) return items.page(query)
      }
      after = page.next
    } while (after !== undefined && clock.steady() < until && !stop.aborted && !reply.raw.destroyed)
    return items.page(query, after)
  })
}

/** Shows one after another; an event is looked at once for all of its deliveries. */
function shower(context: ApiContext): (open: OpenDelivery) => Promise<Static<typeof OpenDeliverySchema>> {
  let last: { readonly cursor: Cursor; readonly topic: string | undefined } | undefined
  return async ({ delivery, state, attempts, dueAt, firstDueAt }) => {
    const { id, cursor, trigger, destination, replay, orderKey } = delivery
    if (last?.cursor !== cursor) {
      const stored = await eventOf(context, delivery)
      last = { cursor, topic: stored && formatTopic(stored.address) }
    }
    return {
      id,
      cursor,
      ...(last.topic !== undefined && { topic: last.topic }),
      trigger,
      destination,
      state,
      ...(replay !== undefined && { replay }),
      ...(orderKey !== undefined && { orderKey }),
      attempts,
      dueAt: new Date(dueAt).toISOString(),
      firstDueAt: new Date(firstDueAt).toISOString(),
    }
  }
}

const doc = {
  operationId: "listOpenDeliveries",
  tag: "Deliveries",
  summary: "List what is still to be delivered",
  description:
    "Every delivery that is neither done nor dead, in the order of their events. Where few of very many match, a page may have " +
    "fewer items than asked for, or none, and a `nextPageToken`. What was tried is told by `GET /v1/events/{cursor}/deliveries`.",
  query: ListQuery,
  answers: { 200: pageOf("OpenDeliveryPage", OpenDeliverySchema) },
} as const
