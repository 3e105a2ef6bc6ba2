import Type, { type Static } from "typebox"
import { laneOf } from "../../core/delivery.ts"
import type { LaneStatus } from "../../core/lane-status.ts"
import { choice, component, Timestamp } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"

/** How a destination fares. */
export const DestinationStatus = component(
  "DestinationStatus",
  Type.Object(
    {
      breaker: choice(["closed", "half-open", "open", "unknown"], {
        description:
          "closed: what is due is sent; open: it did not answer, and nothing is sent for a while; half-open: one delivery at a " +
          "time is sent to find out; unknown: the process that delivers to it cannot be asked, or delivers nothing.",
      }),
      restsUntil: Type.Optional(
        Type.String({
          format: "date-time",
          description: "Nothing is sent before this: its breaker is open, or it asked for rest.",
        }),
      ),
      awaits: Type.Optional(
        choice(["agreement"], {
          description:
            "What has to come before anything is sent: that the receiver agrees. It is asked again when the rest is over.",
        }),
      ),
      waiting: Type.Optional(
        Type.Integer({ description: "Deliveries that are neither done nor dead; absent where it is not known." }),
      ),
      oldestDueAt: Type.Optional(
        Type.String({
          format: "date-time",
          description: "Since when the delivery of the oldest event among them is owed.",
        }),
      ),
      inFlight: Type.Optional(Type.Integer({ description: "Attempts under way." })),
      recent: Type.Optional(
        Type.Object(
          {
            attempts: Type.Integer(),
            delivered: Type.Integer(),
            successRate: Type.Optional(Type.Number({ description: "0 to 1; absent where there was no attempt." })),
          },
          { description: "Attempts that ended within the last five minutes. A start of the hub begins anew." },
        ),
      ),
      lastError: Type.Optional(
        Type.Object(
          {
            at: Timestamp,
            detail: Type.String({ examples: ["503 Service Unavailable"] }),
            status: Type.Optional(Type.Integer({ description: "Of the HTTP answer, where there was one." })),
          },
          { description: "The last attempt that failed, since the hub's start." },
        ),
      ),
    },
    { readOnly: true },
  ),
)

export type ShownStatus = Static<typeof DestinationStatus>

/** How destinations fare, in their order. */
export async function statusesOf(
  { engine }: Pick<ApiContext, "engine">,
  destinations: readonly { readonly tenant: string; readonly destination: string }[],
): Promise<readonly ShownStatus[]> {
  const lanes = destinations.map(laneOf)
  const found = await engine.queue.statusOf([...new Set(lanes)])
  return lanes.map((lane) => showStatus(found.get(lane)))
}

function showStatus(status: LaneStatus | undefined): ShownStatus {
  if (status === undefined) return { breaker: "unknown" }
  const { open, oldestDueAt, report } = status
  const waiting = { waiting: open, ...(oldestDueAt !== undefined && { oldestDueAt: timeOf(oldestDueAt) }) }
  if (report === undefined) return { breaker: "unknown", ...waiting }
  const { breaker, restsUntil, awaits, inFlight, attempts, delivered, lastError } = report
  return {
    breaker,
    ...(restsUntil !== undefined && { restsUntil: timeOf(restsUntil) }),
    ...(awaits !== undefined && { awaits }),
    ...waiting,
    inFlight,
    recent: { attempts, delivered, ...(attempts > 0 && { successRate: delivered / attempts }) },
    ...(lastError && { lastError: { ...lastError, at: timeOf(lastError.at) } }),
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
