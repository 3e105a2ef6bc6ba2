import Type, { type Static } from "typebox"
import { parseTopic } from "../../core/address.ts"
import { OverloadError, StorageError } from "../../core/errors.ts"
import type { Subscription, SubscriptionPosition } from "../../core/subscriptions.ts"
import { checkedElsewhere, component, LabelsInput, ResourceId, Timestamp } from "../../resources/schemas.ts"
import { positionOf } from "../../resources/subscription-positions.ts"
import { subscriptionFields } from "../../resources/subscriptions.ts"
import type { ApiContext } from "../context.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"
import { WarningsSchema } from "../triggers/triggers.ts"

const Epoch = Type.Integer({ minimum: 1, description: "Each reset makes it one more." })

/** Where a subscription stands, as whoever reads gives it back. */
export const PositionSchema = component(
  "SubscriptionPosition",
  Type.Object({
    cursor: Type.String({ description: "Events after it are still to be read.", examples: ["00000000008"] }),
    epoch: Epoch,
    movedAt: Type.Optional({ ...Timestamp, description: "When it was committed or reset last." }),
  }),
)

const SubscriptionStatus = component(
  "SubscriptionStatus",
  Type.Object(
    {
      position: PositionSchema,
      lag: Type.Optional(
        Type.Object(
          {
            events: Type.Integer({
              description: "Events of its topic after the position, of all keys and whether its filters hold or not.",
            }),
            seconds: Type.Number({ description: "The age of the oldest of them; 0 where there is none." }),
          },
          { description: "Where it alone is read, and can be told." },
        ),
      ),
      missed: Type.Optional(
        Type.Boolean({ description: "Retention has dropped events after the position; with `lag`." }),
      ),
    },
    { readOnly: true },
  ),
)

const SubscriptionOutput = component(
  "Subscription",
  Type.Object({
    ...subscriptionFields,
    ...resourceFields,
    id: ResourceId,
    labels: LabelsInput,
    filters: checkedElsewhere("Filters"),
    warnings: WarningsSchema,
    status: Type.Optional(SubscriptionStatus),
  }),
)

/** What is shown of subscriptions beyond what they are. */
export function subscriptionView(context: ApiContext): ResourceView<Subscription> {
  return {
    tag: "Subscriptions",
    output: SubscriptionOutput,
    statuses: (subscriptions, alone) =>
      Promise.all(subscriptions.map((subscription) => statusOf(context, subscription, alone))),
  }
}

async function statusOf(
  context: ApiContext,
  subscription: Subscription,
  alone: boolean,
): Promise<Static<typeof SubscriptionStatus>> {
  const position = await positionOf(context, subscription)
  return { position: shownPosition(position), ...(alone && (await lagOf(context, subscription, position))) }
}

/** A position as it is answered. */
export function shownPosition({ cursor, epoch, movedAt }: SubscriptionPosition): Static<typeof PositionSchema> {
  return { cursor, epoch, movedAt: new Date(movedAt).toISOString() }
}

/** What is still to be read; nothing where that cannot be asked. */
async function lagOf(
  { engine: { log }, clock }: ApiContext,
  { tenant, topic }: Subscription,
  { cursor }: SubscriptionPosition,
): Promise<Pick<Static<typeof SubscriptionStatus>, "lag" | "missed">> {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") return {}
  const address = { tenant, ...parsed }
  try {
    const { events, oldestAt } = await log.stats(address, cursor)
    const dropped = await log.dropped(address)
    return {
      lag: { events, seconds: oldestAt === undefined ? 0 : Math.max(0, clock.now() - oldestAt) / 1_000 },
      missed: dropped !== undefined && log.compare(cursor, dropped) < 0,
    }
  } catch (error) {
    if (error instanceof StorageError || error instanceof OverloadError) return {}
    throw error
  }
}
