import type { FastifyRequest } from "fastify"
import Type from "typebox"
import type { Cursor } from "../../core/cursor.ts"
import type { Subscription } from "../../core/subscriptions.ts"
import { readDuration } from "../../resources/durations.ts"
import { checkedElsewhere, component, Duration, strict } from "../../resources/schemas.ts"
import { partitionOf } from "../../resources/start.ts"
import { commit, type Expected, findStanding, reset, type Standing } from "../../resources/subscription-positions.ts"
import { SubscriptionStart } from "../../resources/subscriptions.ts"
import type { ApiContext } from "../context.ts"
import { limitDefault, limitMax, notCursor, parseCursor } from "../events/event-query.ts"
import { readBody, readQuery } from "../fields.ts"
import { waitMsMax } from "../queues/queue-schemas.ts"
import { idParams } from "../resource-routes.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "../routes.ts"
import { beginStream, streamType } from "../streams/stream.ts"
import { type Reading, readSubscription, selectionOf } from "./read.ts"
import { PositionSchema, shownPosition } from "./subscriptions.ts"

const CursorText = Type.String({ minLength: 1, maxLength: 64, examples: ["00000000008"] })

const ReadQuery = strict({
  from: Type.Optional({ ...CursorText, description: "Read after this cursor, and not after the position." }),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: limitMax, default: limitDefault, description: "Events at most." }),
  ),
  waitFor: Type.Optional({
    ...Duration,
    description:
      "How long to wait where there is nothing; it ends as soon as something comes. At most 60s; default: 0.",
  }),
})

const ExpectedInput = strict(
  {
    cursor: CursorText,
    epoch: Type.Integer({ minimum: 1 }),
    movedAt: Type.Optional(Type.String({ description: "Is not looked at." })),
  },
  { description: "Only if it still stands there: the `position` that a read or a commit answered." },
)

const CommitInput = component(
  "CommitInput",
  strict(
    {
      cursor: { ...CursorText, description: "All up to it is dealt with: `next` of a read, or an event's cursor." },
      expected: Type.Optional(ExpectedInput),
    },
    { examples: [{ cursor: "00000000008", expected: { cursor: "00000000008", epoch: 1 } }] },
  ),
)

const ResetInput = component(
  "ResetInput",
  strict({ to: SubscriptionStart, expected: Type.Optional(ExpectedInput) }, { examples: [{ to: "oldest" }] }),
)

const SubscriptionEvents = component(
  "SubscriptionEvents",
  Type.Object({
    items: Type.Array(checkedElsewhere("StoredEvent"), { description: "In log order." }),
    next: Type.String({ description: "What to commit, or to read on from; past all that the filters left out." }),
    more: Type.Boolean({ description: "There may be more at once." }),
    position: PositionSchema,
    missed: Type.Optional(
      Type.Object(
        { after: Type.String(), until: Type.String() },
        { description: "Retention has dropped events of the topic between these two cursors, which were not read." },
      ),
    ),
  }),
)

/** What subscriptions have beside the routes of every resource: reading, and moving on. */
export function subscriptionRoutes(app: App, context: ApiContext): void {
  const path = "/v1/subscriptions/:id"
  const named = (request: FastifyRequest) => ({ tenant: tenantOf(request), id: pathPart(request, "id") })
  const find = (request: FastifyRequest) => findStanding(context, tenantOf(request), pathPart(request, "id"))
  app.get(`${path}/events`, documented(docs.read), async (request, reply) => {
    const standing = await find(request)
    return readSubscription(context, { ...standing, ...readParams(context, standing, request.query) }, request, reply)
  })
  app.get(`${path}/stream`, documented(docs.stream), async (request, reply) => {
    readQuery(strict({}), request.query)
    const { subscription, position } = await find(request)
    const last = headerOf(request, "last-event-id")
    const from = last ? lastEvent(context, subscription, last) : position.cursor
    const { address, passes } = selectionOf(context, subscription, from)
    if (request.method === "HEAD") return reply.type(streamType).send()
    const asked = { response: reply.raw, address, filters: JSON.stringify(subscription.filters), passes }
    await context.streams.run(
      asked,
      async () => from,
      () => beginStream(reply),
    )
  })
  app.post(`${path}/commit`, documented(docs.commit), async (request) => {
    const { cursor, expected } = readBody(CommitInput, request.body)
    const wanted = { cursor: cursor as Cursor, expected: expected as Expected | undefined }
    return shownPosition(await commit(context, named(request), wanted))
  })
  app.post(`${path}/reset`, documented(docs.reset), async (request) => {
    const { to, expected } = readBody(ResetInput, request.body)
    return shownPosition(await reset(context, named(request), { to, expected: expected as Expected | undefined }))
  })
}

function readParams(
  context: ApiContext,
  { subscription }: Standing,
  query: unknown,
): Pick<Reading, "from" | "limit" | "waitMs"> {
  return readQuery(ReadQuery, query, ({ from, limit = limitDefault, waitFor }, faults) => {
    const waitMs = readDuration(waitFor, "waitFor", faults) ?? 0
    if (waitMs > waitMsMax) faults.add("waitFor", "must be 0 to 60s")
    const partition = partitionOf(context, subscription)
    return {
      from: from === undefined ? undefined : parseCursor(context, partition, from, "from", notCursor, faults),
      limit,
      waitMs,
    }
  })
}

const Nothing = strict({})

function lastEvent(context: ApiContext, subscription: Subscription, text: string): Cursor {
  return readBody(Nothing, {}, (_, faults) =>
    parseCursor(context, partitionOf(context, subscription), text, "Last-Event-ID", notCursor, faults),
  )
}

const tag = "Subscriptions"
const params = idParams("subscription")

const docs = {
  read: {
    operationId: "readSubscription",
    tag,
    summary: "Read what a subscription has not committed",
    description:
      "Events after its position that its filters let through. Reading moves nothing: the same events are read until `next` is " +
      "committed.",
    params,
    query: ReadQuery,
    answers: { 200: SubscriptionEvents },
    problems: ["not-found", "conflict", "overloaded"],
  },
  stream: {
    operationId: "streamSubscription",
    tag,
    summary: "Follow a subscription live",
    description:
      "Server-sent events, as of a topic, from the position on: `id` is the cursor, `data` the event as JSON. `Last-Event-ID` " +
      "resumes after that cursor. Streaming commits nothing.",
    params,
    headers: Type.Object({
      "last-event-id": Type.Optional(Type.String({ description: "The last id that was received." })),
    }),
    answers: { 200: { content: { "text/event-stream": { schema: Type.String() } } } },
    problems: ["not-found", "conflict", "overloaded"],
  },
  commit: {
    operationId: "commitSubscription",
    tag,
    summary: "Commit how far a subscription was read",
    description:
      "With `expected` only one of several who commit at once is heard: the others are answered 412. The same commit again is " +
      "answered as the first one was. Moving back is refused (409).",
    params,
    body: CommitInput,
    answers: { 200: PositionSchema },
    problems: ["not-found", "conflict", "precondition-failed"],
  },
  reset: {
    operationId: "resetSubscription",
    tag,
    summary: "Move a subscription back or forward",
    description: "Whoever has read before, and commits that with what it expected, is answered 412 from now on.",
    params,
    body: ResetInput,
    answers: { 200: PositionSchema },
    problems: ["not-found", "conflict", "precondition-failed"],
  },
} as const
