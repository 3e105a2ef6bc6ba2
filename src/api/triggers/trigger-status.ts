import Type, { type Static } from "typebox"
import { parseTopic } from "../../core/address.ts"
import { InvalidCursorError, OverloadError, StorageError } from "../../core/errors.ts"
import type { EventLog } from "../../core/log.ts"
import type { Trigger } from "../../core/resources.ts"
import { filtersFault } from "../../filters/index.ts"
import { choice, component } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { DestinationStatus } from "../destinations/lane-status.ts"

/** Deliveries of one trigger that are counted at most. */
const countedMax = 1_000

/** How a trigger fares. */
export const TriggerStatus = component(
  "TriggerStatus",
  Type.Object(
    {
      state: choice(["active", "paused", "resting"], {
        description: "resting: it cannot be matched, and loses nothing until it is put right.",
      }),
      reason: Type.Optional(Type.String({ description: "Why it is paused, or what is wrong with one that rests." })),
      destination: Type.Optional({
        ...DestinationStatus,
        description: "How its destination fares; absent where that does not exist.",
      }),
      waiting: Type.Optional(
        Type.Integer({
          description: `Its deliveries that are neither done nor dead, up to ${countedMax}; where it alone is read, and can be told.`,
        }),
      ),
      waitingComplete: Type.Optional(Type.Boolean({ description: "False where there are more than were counted." })),
      held: Type.Optional(Type.Integer({ description: "Those of them that wait for it to be resumed." })),
      oldestDueAt: Type.Optional(
        Type.String({
          format: "date-time",
          description: "Since when the delivery of the oldest event among them is owed.",
        }),
      ),
    },
    { readOnly: true },
  ),
)

/** What waits for it in the queue, as far as it is soon counted; nothing where that cannot be asked. */
export async function waitingOf(
  { engine }: Pick<ApiContext, "engine">,
  { tenant, id: trigger }: Trigger,
): Promise<Pick<Static<typeof TriggerStatus>, "waiting" | "waitingComplete" | "held" | "oldestDueAt">> {
  try {
    const { deliveries, next } = await engine.queue.openDeliveries({ tenant, trigger, limit: countedMax })
    const [oldest] = deliveries
    return {
      waiting: deliveries.length,
      waitingComplete: next === undefined,
      held: deliveries.filter(({ state }) => state === "held").length,
      ...(oldest && { oldestDueAt: new Date(oldest.firstDueAt).toISOString() }),
    }
  } catch (error) {
    if (error instanceof StorageError || error instanceof OverloadError) return {}
    throw error
  }
}

/** Follows from the trigger alone, so that each process says the same as the one that routes for it. */
export function triggerStatus(trigger: Trigger, log: EventLog): Static<typeof TriggerStatus> {
  if (trigger.paused !== undefined) return { state: "paused", reason: trigger.paused.reason }
  const wrong = wrongWith(trigger, log)
  return wrong === undefined ? { state: "active" } : { state: "resting", reason: wrong }
}

function wrongWith({ filters, topic, from }: Trigger, log: EventLog): string | undefined {
  const address = parseTopic(topic)
  if (typeof address === "string") return `topic: ${address}`
  const fault = filtersFault(filters)
  if (fault !== undefined) return fault
  try {
    log.compare(from, from)
    return undefined
  } catch (error) {
    if (error instanceof InvalidCursorError) return `start: ${error.message}`
    throw error
  }
}
