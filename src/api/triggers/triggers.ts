import Type from "typebox"
import type { Trigger } from "../../core/resources.ts"
import { checkedElsewhere, choice, component, LabelsInput, ResourceId } from "../../resources/schemas.ts"
import { hasDestination, RetryRuleSchema, triggerFields } from "../../resources/triggers.ts"
import type { ApiContext } from "../context.ts"
import { statusesOf } from "../destinations/lane-status.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"
import { TriggerStatus, triggerStatus, waitingOf } from "./trigger-status.ts"

const RetryOutput = component(
  "Retry",
  Type.Object(
    {
      delays: Type.Array(Type.String(), { description: "Before attempt 2, 3, …; the last repeats." }),
      jitter: Type.Number({ description: "Each delay is shortened by up to this part of it." }),
      attemptsMax: Type.Integer(),
      ageMax: Type.String(),
      rules: Type.Optional(Type.Array(RetryRuleSchema)),
    },
    { examples: [{ delays: ["10s", "1m", "1h"], jitter: 0.1, attemptsMax: 10, ageMax: "1d" }] },
  ),
)

export const WarningsSchema = Type.Optional(
  Type.Array(Type.Object({ field: Type.String(), message: Type.String() }), {
    readOnly: true,
    description: "What is allowed in its filters and surely not meant; absent where there is nothing.",
  }),
)

const TriggerOutput = component(
  "Trigger",
  Type.Object({
    ...triggerFields,
    ...resourceFields,
    id: ResourceId,
    labels: LabelsInput,
    filters: checkedElsewhere("Filters"),
    backlog: choice(["keep", "move"]),
    retry: RetryOutput,
    paused: Type.Boolean(),
    pausedSince: Type.Optional(Type.String({ format: "date-time", readOnly: true })),
    pauseReason: Type.Optional(Type.String({ readOnly: true })),
    warnings: WarningsSchema,
    status: TriggerStatus,
  }),
)

/** What is shown of triggers beyond what they are. */
export function triggerView(context: ApiContext): ResourceView<Trigger> {
  return {
    tag: "Triggers",
    output: TriggerOutput,
    state: (trigger) => ({ status: triggerStatus(trigger, context.engine.log) }),
    async statuses(triggers, alone) {
      const shown = await statusesOf(context, triggers)
      const waiting = alone ? await waitingOf(context, triggers[0]!) : {}
      const are = await Promise.all(
        triggers.map(({ tenant, destination }) => hasDestination(context, tenant, destination)),
      )
      return shown.map((destination, i) => ({ ...(are[i] && { destination }), ...waiting }))
    },
  }
}
