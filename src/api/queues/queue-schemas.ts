import Type from "typebox"
import {
  checkedElsewhere,
  choice,
  component,
  Duration,
  ResourceId,
  strict,
  Timestamp,
} from "../../resources/schemas.ts"

/** Leases in one request. */
export const leasesMax = 1_000
/** How long a request waits for work. */
export const waitMsMax = 60_000
/** How long a retry may be put off. */
export const afterMsMax = 30 * 86_400_000

const LeaseText = Type.String({
  minLength: 1,
  maxLength: 1_024,
  description: "As it was given with the delivery.",
  examples: ["MSAwMDAwMDAwMDAwOC5zaGlw"],
})

export const LeaseInput = component(
  "LeaseInput",
  strict(
    {
      max: Type.Optional(
        Type.Integer({ minimum: 1, maximum: leasesMax, default: 1, description: "Deliveries at most." }),
      ),
      waitFor: Type.Optional({
        ...Duration,
        description:
          "How long to wait where nothing is due; it ends as soon as something comes. At most 60s; default: 0.",
      }),
      lease: Type.Optional({
        ...Duration,
        description:
          "How long they are leased, 100ms to 24h. Default: the queue's. Where those never lapse this is not heeded.",
      }),
    },
    { examples: [{ max: 10, waitFor: "20s" }] },
  ),
)

const LeasedDelivery = component(
  "LeasedDelivery",
  Type.Object({
    lease: Type.String({ description: "Settles it, or makes its lease longer." }),
    delivery: Type.String({ description: "Its id: the same however often it is tried." }),
    attempt: Type.Integer({ description: "From 1; leases that lapsed count." }),
    trigger: ResourceId,
    topic: Type.String({ description: "The event's topic, with its key." }),
    cursor: Type.String({ description: "Where the event is in the log." }),
    expiresAt: Type.Optional({ ...Timestamp, description: "Absent: never." }),
    event: checkedElsewhere("Event"),
  }),
)

export const LeasedDeliveries = component(
  "LeasedDeliveries",
  Type.Object({
    items: Type.Array(LeasedDelivery, { description: "In the order of their events; none: nothing came." }),
  }),
)

export const ExtendInput = component(
  "ExtendInput",
  strict(
    {
      leases: Type.Array(LeaseText, { minItems: 1, maxItems: leasesMax }),
      by: Type.Optional({
        ...Duration,
        description: "From now on, 100ms to 24h. Default: the queue's lease. Those that never lapse stay as they are.",
      }),
    },
    { examples: [{ leases: ["MSAwMDAwMDAwMDAwOC5zaGlw"], by: "1m" }] },
  ),
)

export const SettleInput = component(
  "SettleInput",
  strict(
    {
      settlements: Type.Array(
        strict({
          lease: LeaseText,
          result: choice(["done", "retry", "reject"], {
            description:
              "done; retry: it failed, and is tried again; reject: nobody can do it, and it becomes a dead letter.",
          }),
          after: Type.Optional({
            ...Duration,
            description: "Of a retry: when, 30d at most. Default: as the trigger's retry policy says.",
          }),
          reason: Type.Optional(
            Type.String({ minLength: 1, maxLength: 500, description: "Of a retry or a rejection: why. For people." }),
          ),
        }),
        { minItems: 1, maxItems: leasesMax },
      ),
    },
    { examples: [{ settlements: [{ lease: "MSAwMDAwMDAwMDAwOC5zaGlw", result: "done" }] }] },
  ),
)

const stateText =
  "lost: it had lapsed, or was settled already, and nothing was done; failed: nothing was done, so ask again"

export const Extended = component(
  "ExtendedLeases",
  Type.Object({
    items: Type.Array(
      Type.Object({
        lease: Type.String(),
        state: choice(["extended", "lost", "failed"], { description: stateText }),
        expiresAt: Type.Optional({ ...Timestamp, description: "Of an extended one; absent: never." }),
      }),
      { description: "In the order of the request." },
    ),
  }),
)

export const Settled = component(
  "SettledLeases",
  Type.Object({
    items: Type.Array(
      Type.Object({ lease: Type.String(), state: choice(["settled", "lost", "failed"], { description: stateText }) }),
      { description: "In the order of the request." },
    ),
  }),
)

export const UnlockInput = component(
  "UnlockInput",
  strict(
    {
      deliveries: Type.Optional(
        Type.Array(Type.String({ minLength: 1, maxLength: 1_024, pattern: "^[\\x21-\\x7e]+$" }), {
          maxItems: leasesMax,
          description: "Their ids.",
        }),
      ),
      all: Type.Optional(
        Type.Literal(true, { description: "All that are leased, up to 1000 at once; in place of ids." }),
      ),
      after: Type.Optional(
        Type.String({ minLength: 1, maxLength: 1_024, description: "With `all`: `next` of the answer before." }),
      ),
    },
    { examples: [{ deliveries: ["000000000ko.paid.mg1abcd0012xyz"] }, { all: true }] },
  ),
)

export const Unlocked = component(
  "UnlockedLeases",
  Type.Object({
    items: Type.Array(
      Type.Object({
        delivery: Type.String(),
        state: choice(["unlocked", "not-leased", "failed"], {
          description:
            "not-leased: nobody has it, and nothing was done; failed: it may have been unlocked or not, ask again",
        }),
      }),
      { description: "In the order of the request; with `all`, in the order of their events." },
    ),
    next: Type.Optional(Type.String({ description: "With `all`: there may be more, `after` this." })),
  }),
)

export const QueueStatus = component(
  "QueueStatus",
  Type.Object({
    destination: ResourceId,
    open: Type.Optional(
      Type.Integer({ description: "All that are neither done nor dead; absent where that cannot be asked." }),
    ),
    ready: Type.Integer({ description: "They can be leased." }),
    leased: Type.Integer({ description: "Workers have them." }),
    parked: Type.Integer({ description: "They wait for their retry." }),
    waiting: Type.Integer({ description: "They wait for those before them in their order." }),
    held: Type.Integer({ description: "They wait for their trigger to be resumed." }),
    counted: Type.Integer({ description: "The deliveries that were looked at, those of the oldest events first." }),
    complete: Type.Boolean({ description: "False where there are more than were counted." }),
    dead: Type.Integer({ description: "Dead letters, up to 1000." }),
    polls: Type.Integer({ description: "Requests of your tenant that wait for work, in the process that answers." }),
    oldestDueAt: Type.Optional({
      ...Timestamp,
      description: "Since when the delivery of the oldest event among them is owed.",
    }),
  }),
)
