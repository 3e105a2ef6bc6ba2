import Type from "typebox"
import { type DeadLetter, deadReasons } from "../../core/delivery.ts"
import { recordDiscard } from "../../deliver/records.ts"
import { choice, component, strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { eventOf } from "../deliveries/event-of.ts"
import { readBody } from "../fields.ts"
import { formatPageToken, parsePageToken } from "../paging.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { findLetter, letterParams, PartToken, partFields, whose } from "./dead-letters.ts"
import { partMax, throughLetters } from "./letter-parts.ts"

const reason = Type.String({
  minLength: 1,
  maxLength: 500,
  description: "Why nobody is to have them any more: for those who look later.",
  examples: ["the shop has closed"],
})

const DiscardOneInput = component("DiscardOneInput", strict({ reason }))

const DiscardInput = component(
  "DiscardInput",
  strict(
    {
      reason,
      ...whose,
      deadReason: Type.Optional(choice(deadReasons, { description: "Only those that were given up for this reason." })),
      ...partFields,
    },
    { examples: [{ reason: "the shop has closed", destination: "warehouse", dryRun: true }] },
  ),
)

const Discarded = component(
  "Discarded",
  Type.Object({ matched: Type.Integer(), discarded: Type.Integer(), nextPageToken: PartToken }),
)

/** Dead letters that nobody is to have any more: discarded one by one or many at once, which the log is told of. */
export function discardRoutes(app: App, context: ApiContext): void {
  app.post("/v1/dead-letters/:id/discard", documented(docs.one), async (request) => {
    const { reason } = readBody(DiscardOneInput, request.body)
    const letter = await findLetter(context, tenantOf(request), pathPart(request, "id"))
    return { matched: 1, discarded: (await discard(context, letter, reason, request.caller!.key)) ? 1 : 0 }
  })
  app.post("/v1/dead-letters/discard", documented(docs.many), async (request, reply) => {
    const {
      reason,
      deadReason,
      dryRun = false,
      limit = partMax,
      pageToken,
      ...which
    } = readBody(DiscardInput, request.body)
    const tenant = tenantOf(request)
    const by = request.caller!.key
    const query = [tenant, "discard", reason, which.trigger, which.destination, deadReason, dryRun]
    const { matched, done, after } = await throughLetters(context, {
      ...{ tenant, limit, after: parsePageToken(query, pageToken) },
      filter: { ...which, ...(deadReason !== undefined && { reason: deadReason }) },
      gone: () => reply.raw.destroyed,
      act: dryRun ? undefined : (letter) => discard(context, letter, reason, by),
    })
    return { matched, discarded: done, ...(after !== undefined && { nextPageToken: formatPageToken(query, after) }) }
  })
}

/**
 * Answers false where it was redriven or discarded meanwhile: then nothing is told, since the log would say for good what never was.
 * A crash in between, or a log without room, costs the reason: the letter is gone, and its event's journey says `dead` of it.
 */
async function discard(context: ApiContext, letter: DeadLetter, reason: string, by: string): Promise<boolean> {
  const { engine, clock } = context
  const discarding = { reason, discardedAt: clock.now(), by }
  const stored = await eventOf(context, letter)
  if (!(await engine.queue.discard(letter.tenant, letter.id))) return false
  await recordDiscard(engine.log, stored, letter, discarding)
  return true
}

const tag = "Dead letters"
const description =
  "They are gone for good, and an event `redcar.dead-letter.discarded` on the topic `redcar.dead-letters` says why, as does what " +
  "became of their events. A dead letter that may still be wanted is redriven instead, or left where it is."

const docs = {
  one: {
    operationId: "discardDeadLetter",
    tag,
    summary: "Discard a dead letter",
    description,
    params: letterParams,
    body: DiscardOneInput,
    answers: { 200: Discarded },
    problems: ["not-found"],
  },
  many: {
    operationId: "discardDeadLetters",
    tag,
    summary: "Discard many dead letters",
    description: `${description} Goes by parts, as redriving many does: while the answer has a \`nextPageToken\` there are more.`,
    body: DiscardInput,
    answers: { 200: Discarded },
  },
} as const
