import Type from "typebox"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { StoredEvent } from "../../core/log.ts"
import type { Trigger } from "../../core/resources.ts"
import { orderKeyOf } from "../../filters/order-key.ts"
import { EventView } from "../../filters/view.ts"
import type { ResourceStore } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { eventAt } from "../events/event-query.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { triggerVerdictsFor } from "../triggers/trigger-verdicts.ts"
import { DeliverySchema, deliveriesFor, type ShownDelivery } from "./deliveries.ts"

/** What was delivered once, delivered once more by hand. */
export function resendRoutes(app: App, context: ApiContext, triggers: ResourceStore<Trigger>): void {
  app.post("/v1/events/:cursor/deliveries/:trigger/resend", documented(doc), async (request) => {
    const tenant = tenantOf(request)
    const stored = await eventAt(context, tenant, pathPart(request, "cursor"))
    const { value: trigger } = await triggers.find(tenant, pathPart(request, "trigger"))
    const delivery = deliveryOf(stored, trigger)
    const made = await deliveriesFor(context, stored, [fired(trigger)], context.room.shareOf(request))
    const before = made.find(({ id }) => id === delivery.id)
    await refuse(context, stored, delivery, before)
    return resend(context, delivery, before)
  })
}

function fired({ id, incarnation = "", destination }: Trigger) {
  return { trigger: id, incarnation, destination }
}

function deliveryOf(stored: StoredEvent, trigger: Trigger): Delivery {
  const { cursor, address } = stored
  const { incarnation, destination } = fired(trigger)
  const id = deliveryId(cursor, trigger.id, incarnation)
  const fingerprint = fingerprintOf(stored)
  const delivery = { id, tenant: address.tenant, trigger: trigger.id, incarnation, destination, cursor, fingerprint }
  const orderKey = trigger.ordering && orderKeyOf(trigger.ordering, new EventView(stored.event))
  return orderKey === undefined ? delivery : { ...delivery, orderKey }
}

/** Throws ProblemError unless the delivery was made, and is over. */
async function refuse(
  context: ApiContext,
  stored: StoredEvent,
  { id, tenant, trigger, incarnation }: Delivery,
  before: ShownDelivery | undefined,
): Promise<void> {
  if (before?.dueAt !== undefined) {
    throw new ProblemError("conflict", `the delivery is open already: it is ${before.state}, due at ${before.dueAt}`)
  }
  if ((await context.engine.queue.deadLetter(tenant, id)) !== undefined) {
    throw new ProblemError("conflict", `the delivery is a dead letter; redrive that instead: ${id}`)
  }
  if (before !== undefined) return
  // Its attempts may not be kept any more, so what decides is whether it was to be made.
  const { items } = await triggerVerdictsFor(context, stored)
  const judged = items.find((each) => each.trigger === trigger && each.incarnation === incarnation)
  if (judged?.verdict === "fires") return
  const why = judged === undefined ? "it is not on its topic" : judged.sentence
  throw new ProblemError("conflict", `the event was not delivered for trigger ${trigger}: ${why}`)
}

/** Its attempts so far are forgiven, and counted on. */
async function resend(
  { engine, clock }: ApiContext,
  delivery: Delivery,
  before: ShownDelivery | undefined,
): Promise<ShownDelivery> {
  const attempts = before?.attempts ?? []
  const last = Math.max(0, ...attempts.map(({ number }) => number))
  const now = clock.now()
  const times = { firstDueAt: now, dueAt: now }
  await engine.queue.carry([{ kind: "open", delivery, attempts: last, attemptsForgiven: last, ...times, held: false }])
  const { id, trigger, destination } = delivery
  return { id, trigger, destination, state: "due", attempts: [...attempts], dueAt: new Date(now).toISOString() }
}

const doc = {
  operationId: "resendDelivery",
  tag: "Events",
  summary: "Deliver an event once more",
  description:
    "Makes a delivery that is over, whether it was done, discarded or dropped, due once more, to where its trigger delivers now. " +
    "It is the same message: a webhook has the same `webhook-id`, so that a receiver that keeps those apart takes it for a " +
    "repetition. Its attempts are counted on, and those so far are forgiven. What is open already is refused, and so is a dead " +
    "letter, which is redriven instead.",
  params: Type.Object({
    cursor: Type.String({ description: "The event's cursor." }),
    trigger: Type.String({ description: "The trigger's id." }),
  }),
  answers: { 200: DeliverySchema },
  problems: ["not-found", "conflict"],
} as const
