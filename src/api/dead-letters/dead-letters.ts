import Type, { type Static } from "typebox"
import { formatTopic } from "../../core/address.ts"
import type { Item } from "../../core/catalog.ts"
import { type CatalogKeys, destinationKeys, replayKeys, triggerKeys } from "../../core/catalog-keys.ts"
import type { DeadLetterQuery } from "../../core/dead-letters.ts"
import { type DeadLetter, deadReasons } from "../../core/delivery.ts"
import type { Replay, Trigger } from "../../core/resources.ts"
import { choice, component, strict, Timestamp } from "../../resources/schemas.ts"
import { mayBeId } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { AttemptSchema, attemptsOf, OutcomeSchema, showOutcome } from "../deliveries/deliveries.ts"
import { eventOf } from "../deliveries/event-of.ts"
import { notFound, ProblemError } from "../errors.ts"
import { readBody, readQuery } from "../fields.ts"
import { formatPageToken, PageItems, pageSizeDefault, parsePageToken } from "../paging.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { PageQuery, pageOf } from "../schemas.ts"
import { EditSchema, RedriveOneInput, readEdit, redriveEdited, triggerOf } from "./edits.ts"
import { partMax, throughLetters } from "./letter-parts.ts"

/** Which letters, besides the reason that they died of. */
export const whose = {
  trigger: Type.Optional(Type.String({ description: "Only those of this trigger." })),
  destination: Type.Optional(Type.String({ description: "Only those of this destination." })),
}
const which = {
  ...whose,
  reason: Type.Optional(choice(deadReasons, { description: "Only those of this reason." })),
}
/** Letters read at once. */
const readAtOnce = 64

const ListQuery = strict({ ...which, ...PageQuery })

/** What is asked of many letters, part by part. */
export const partFields = {
  dryRun: Type.Optional(Type.Boolean({ default: false, description: "Only count." })),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: partMax, default: partMax, description: "So many at most." }),
  ),
  pageToken: Type.Optional(Type.String({ description: "The `nextPageToken` of the answer before, to go on." })),
}

export const PartToken = Type.Optional(
  Type.String({ description: "There may be more: send the same with this as `pageToken`. Absent at the end." }),
)

const RedriveInput = component(
  "RedriveInput",
  strict(
    {
      ...which,
      ...partFields,
    },
    { examples: [{ destination: "warehouse", dryRun: true }] },
  ),
)

const Redriven = component(
  "Redriven",
  Type.Object({
    matched: Type.Integer(),
    redriven: Type.Integer({ description: "Fewer than matched where a trigger or destination is gone." }),
    nextPageToken: PartToken,
  }),
)

const RedrivenOne = component(
  "RedrivenOne",
  Type.Object({
    matched: Type.Integer(),
    redriven: Type.Integer({ description: "0 where it was redriven or discarded meanwhile." }),
    edit: Type.Optional(EditSchema),
  }),
)

const letterFields = {
  id: Type.String(),
  tenant: Type.String(),
  trigger: Type.String(),
  destination: Type.String(),
  cursor: Type.String({ description: "The event's." }),
  topic: Type.String({ description: "The event's, with its key." }),
  replay: Type.Optional(
    Type.String({ description: "The replay that made it; absent of one that was made when its event came." }),
  ),
  orderKey: Type.Optional(Type.String({ description: "Of an ordered trigger's: what makes its order." })),
  reason: choice(deadReasons, {
    description:
      "permanent: refused for good, or retention has dropped the event; exhausted: no attempts are left; expired: too old; " +
      "damaged: the log does not have the event as it was stored, and nothing was sent; gone: its destination is, and its " +
      "trigger sends elsewhere.",
  }),
  attempts: Type.Integer({ description: "How many there were." }),
  diedAt: Timestamp,
  lastOutcome: OutcomeSchema,
}

const DeadLetterSchema = component(
  "DeadLetter",
  Type.Object(letterFields, { description: "A delivery given up. Its id is the delivery's." }),
)

const DeadLetterDetail = component(
  "DeadLetterDetail",
  Type.Object({
    ...letterFields,
    attempts: Type.Array(AttemptSchema, { description: "Those that are kept." }),
    event: Type.Optional(
      Type.Object(
        { id: Type.String(), source: Type.String(), type: Type.String() },
        { description: "Absent where the event is not there any more, or is damaged." },
      ),
    ),
  }),
)

export const letterParams = Type.Object({ id: Type.String({ description: "The dead letter's id." }) })

/** Dead letters: listed, read, and put back one by one or many at once. Discarding is in `discards.ts`. */
export function deadLetterRoutes(app: App, context: ApiContext): void {
  const { queue } = context.engine
  app.get("/v1/dead-letters", documented(docs.list), async (request) => {
    const { pageSize = pageSizeDefault, pageToken, ...filter } = readQuery(ListQuery, request.query)
    const tenant = tenantOf(request)
    const query = [tenant, "dead-letters", filter.trigger, filter.destination, filter.reason]
    const after = parsePageToken(query, pageToken)
    const items = new PageItems<Static<typeof DeadLetterSchema>>(pageSize, context.room.shareOf(request))
    for await (const letter of lettersOf(context, { tenant, ...filter }, after)) {
      if (!items.add(showLetter(letter), letter.id)) break
    }
    return items.page(query)
  })
  app.get("/v1/dead-letters/:id", documented(docs.get), async (request) => {
    const letter = await findLetter(context, tenantOf(request), pathPart(request, "id"))
    const tried = await attemptsOf(context, letter.tenant, letter.cursor, context.room.shareOf(request))
    const event = (await eventOf(context, letter))?.event
    return {
      ...showLetter(letter),
      attempts: tried.get(letter.id)?.attempts ?? [],
      ...(event !== undefined && { event: { id: event.id, source: event.source, type: event.type } }),
    }
  })
  app.post("/v1/dead-letters/:id/redrive", documented(docs.redriveOne), async (request) => {
    const letter = await findLetter(context, tenantOf(request), pathPart(request, "id"))
    const event = await readEdit(context, letter, request.body)
    const gone = await missing(context)(letter)
    if (gone !== undefined) throw new ProblemError("conflict", gone)
    if (event === undefined) {
      const redriven = await queue.redrive(letter.tenant, letter.id)
      return { matched: 1, redriven: redriven ? 1 : 0 }
    }
    const trigger = await triggerOf(context, letter)
    const edit = await redriveEdited(context, { letter, trigger, event, by: request.caller!.key })
    return { matched: 1, redriven: edit ? 1 : 0, ...(edit && { edit }) }
  })
  app.post("/v1/dead-letters/redrive", documented(docs.redriveMany), async (request, reply) => {
    const { dryRun = false, limit = partMax, pageToken, ...filter } = readBody(RedriveInput, request.body)
    const tenant = tenantOf(request)
    const query = [tenant, "redrive", filter.trigger, filter.destination, filter.reason, dryRun]
    const { matched, done, after } = await throughLetters(context, {
      ...{ tenant, filter, limit, after: parsePageToken(query, pageToken) },
      gone: () => reply.raw.destroyed,
      act: dryRun ? undefined : redriver(context),
    })
    return { matched, redriven: done, ...(after !== undefined && { nextPageToken: formatPageToken(query, after) }) }
  })
}

/** From after `after` on, some read at a time: each may hold the response of a destination. */
async function* lettersOf(
  { engine }: ApiContext,
  query: Omit<DeadLetterQuery, "limit" | "after">,
  after: string | undefined,
): AsyncIterable<DeadLetter> {
  let last = after
  let letters: readonly DeadLetter[]
  // Ends: at the last letter, which the next ones always come nearer to.
  do {
    letters = await engine.queue.deadLetters({
      ...query,
      limit: readAtOnce,
      ...(last !== undefined && { after: last }),
    })
    yield* letters
    last = letters.at(-1)?.id
  } while (letters.length === readAtOnce)
}

/** Redrives each letter that can be. */
function redriver(context: ApiContext): (letter: DeadLetter) => Promise<boolean> {
  const { queue } = context.engine
  const refusal = missing(context)
  return async (letter) => (await refusal(letter)) === undefined && queue.redrive(letter.tenant, letter.id)
}

/** Tells what a letter's delivery would lack: its trigger or its destination. Asks the catalog once for each. */
function missing(context: ApiContext): (letter: DeadLetter) => Promise<string | undefined> {
  const known = new Map<
    string,
    Promise<Item<Pick<Trigger, "incarnation" | "backlog"> & Partial<Pick<Replay, "state">>> | undefined>
  >()
  const find = (keys: CatalogKeys, tenant: string, id: string) => {
    const key = keys.of({ tenant, id })
    const found = known.get(key) ?? context.engine.catalog.get(key)
    known.set(key, found)
    return found
  }
  return async ({ tenant, trigger, incarnation, destination, cursor, replay }) => {
    const made = replay === undefined ? undefined : await find(replayKeys, tenant, replay)
    if (made?.value.state === "cancelled") {
      return `replay ${replay} was cancelled, which made it; make another replay (the event is at ${cursor})`
    }
    const found = await find(triggerKeys, tenant, trigger)
    // One that was made anew is another one, and has what it owes of its own.
    if (found === undefined || (found.value.incarnation ?? "") !== incarnation) {
      return `trigger ${trigger} was deleted; one that starts before the event, at {"cursor": …} or {"time": …}, delivers it again (it is at ${cursor})`
    }
    // What it takes along goes where it sends now.
    if (found.value.backlog === "move" || (await find(destinationKeys, tenant, destination)) !== undefined)
      return undefined
    return `destination ${destination} no longer exists; create it again first, or let trigger ${trigger} take it along (backlog "move")`
  }
}

/** Throws ProblemError where there is none. */
export async function findLetter(context: ApiContext, tenant: string, id: string): Promise<DeadLetter> {
  const letter = mayBeId(id) ? await context.engine.queue.deadLetter(tenant, id) : undefined
  if (letter !== undefined) return letter
  throw notFound(`there is no dead letter ${JSON.stringify(id)}; it may have been redriven or discarded`)
}

function showLetter(letter: DeadLetter): Static<typeof DeadLetterSchema> {
  const { id, tenant, trigger, destination, cursor, address, reason, attempts, diedAt, lastOutcome } = letter
  const { replay, orderKey } = letter
  return {
    id,
    tenant,
    trigger,
    destination,
    cursor,
    topic: formatTopic(address),
    ...(replay !== undefined && { replay }),
    ...(orderKey !== undefined && { orderKey }),
    reason,
    attempts,
    diedAt: new Date(diedAt).toISOString(),
    lastOutcome: showOutcome(lastOutcome),
  }
}

const tag = "Dead letters"

const docs = {
  list: {
    operationId: "listDeadLetters",
    tag,
    summary: "List dead letters",
    description: "In the order of their events.",
    query: ListQuery,
    answers: { 200: pageOf("DeadLetterPage", DeadLetterSchema) },
  },
  get: {
    operationId: "getDeadLetter",
    tag,
    summary: "Read a dead letter with its attempts",
    params: letterParams,
    answers: { 200: DeadLetterDetail },
    problems: ["not-found"],
  },
  redriveOne: {
    operationId: "redriveDeadLetter",
    tag,
    summary: "Deliver a dead letter again",
    description:
      "Its attempts so far are forgiven. With `event` or `patch`, another event is delivered instead: it is stored on the same topic, " +
      "with an id of its own, `causationid` and `redcarredrive`, the letter's id, and goes to this letter's trigger alone, whatever " +
      "that one's filters say; the event that the letter was of stays as it is.",
    params: letterParams,
    body: RedriveOneInput,
    bodyOptional: true,
    answers: { 200: RedrivenOne },
    problems: ["not-found", "conflict", "too-large"],
  },
  redriveMany: {
    operationId: "redriveDeadLetters",
    tag,
    summary: "Deliver many dead letters again",
    description:
      "Those that match, every one where nothing is asked, some thousands at a time: while the answer has a `nextPageToken` " +
      "there are more. A client that goes away ends it. `dryRun` counts first.",
    body: RedriveInput,
    bodyOptional: true,
    answers: { 200: Redriven },
  },
} as const
