import Type, { type Static } from "typebox"
import { type Replay, replayStates } from "../../core/resources.ts"
import { checkedElsewhere, choice, component, strict, Timestamp } from "../../resources/schemas.ts"
import { rangeFields } from "../triggers/range.ts"

export const ReplayInput = component(
  "ReplayInput",
  strict(
    {
      ...rangeFields,
      filters: Type.Optional(
        checkedElsewhere("Filters", { description: "Beside the trigger's own: all have to hold.", default: [] }),
      ),
      destination: Type.Optional(Type.String({ description: "Where to deliver; default: where the trigger does." })),
      ratePerSecond: Type.Optional(
        Type.Number({
          exclusiveMinimum: 0,
          maximum: 100_000,
          description: "Deliveries per second at most; default: as its destination takes them.",
        }),
      ),
      dryRun: Type.Optional(
        Type.Boolean({
          default: false,
          description: "Only count, and show some: answers as a trigger's dry run does.",
        }),
      ),
    },
    { examples: [{ from: "2026-01-31T00:00:00Z", until: "2026-01-31T06:00:00Z", ratePerSecond: 100 }] },
  ),
)

export const ReplaySchema = component(
  "Replay",
  Type.Object({
    id: Type.String({ description: "Each delivery that it makes says it as `redcarreplay`." }),
    tenant: Type.String(),
    trigger: Type.String(),
    topic: Type.String(),
    filters: checkedElsewhere("Filters"),
    destination: Type.String(),
    from: Type.String({ description: "A cursor: events after it." }),
    until: Type.String({ description: "A cursor: its event is the last." }),
    ratePerSecond: Type.Optional(Type.Number()),
    state: choice(replayStates, {
      description:
        "counting: how many there are is being found out; running: deliveries are made; paused; done: all are made, of which some " +
        "may still be open; cancelled: none is made any more, and those that are open are dropped when their turn comes.",
    }),
    reason: Type.Optional(Type.String({ description: "Why it was cancelled, where nobody asked for it." })),
    total: Type.Optional(Type.Integer({ description: "Deliveries that it comes to; absent until they are counted." })),
    done: Type.Integer({ description: "Deliveries made." }),
    perSecond: Type.Optional(Type.Integer({ description: "Deliveries made per second, of late." })),
    secondsLeft: Type.Optional(Type.Integer({ description: "Until all are made, as it goes of late." })),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  }),
)

/** A replay as it is shown. */
export function showReplay(replay: Replay): Static<typeof ReplaySchema> {
  const { id, tenant, trigger, topic, filters, destination, from, until, ratePerSecond, state, reason } = replay
  const { total, done, perSecond } = replay.progress
  const secondsLeft =
    state === "running" && total !== undefined && perSecond ? Math.ceil((total - done) / perSecond) : undefined
  return {
    ...{ id, tenant, trigger, topic, filters, destination, from, until },
    ...(ratePerSecond !== undefined && { ratePerSecond }),
    state,
    ...(reason !== undefined && { reason }),
    ...(total !== undefined && { total }),
    done,
    ...(state === "running" && perSecond !== undefined && { perSecond }),
    ...(secondsLeft !== undefined && { secondsLeft }),
    createdAt: new Date(replay.createdAt).toISOString(),
    updatedAt: new Date(replay.updatedAt).toISOString(),
  } as Static<typeof ReplaySchema>
}
