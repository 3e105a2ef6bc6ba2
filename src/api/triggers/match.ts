import Type, { type Static } from "typebox"
import { parseTopic } from "../../core/address.ts"
import { triggerKeys } from "../../core/catalog-keys.ts"
import { itemsUnder } from "../../core/catalog-scan.ts"
import { createPace } from "../../core/pace.ts"
import type { Trigger } from "../../core/resources.ts"
import { component, strict } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import { readBodyWith } from "../fields.ts"
import { formatPageToken, pageSizeDefault, pageSizeMax, parsePageToken } from "../paging.ts"
import { type App, documented, tenantOf } from "../routes.ts"
import { readSubject, type Subject, SubjectSchema, showSubject, subjectFields } from "./subject.ts"
import { createJudge, VerdictSchema } from "./verdict.ts"

/** Triggers looked at for one page: those of other topics cost little, those of the event's are compiled. */
const scannedMax = 20_000
const judgedMax = 1_000

const MatchInput = component(
  "MatchInput",
  strict(
    {
      ...subjectFields,
      topic: Type.Optional(Type.String({ description: "Where an event in the body would be published." })),
      explain: Type.Optional(
        Type.Boolean({ default: false, description: "Also the triggers of its topic that it does not fire, and why." }),
      ),
      pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: pageSizeMax, default: pageSizeDefault })),
      pageToken: Type.Optional(Type.String()),
    },
    {
      examples: [{ topic: "orders", event: { specversion: "1.0", id: "1", source: "/shop", type: "order.paid" } }],
    },
  ),
)

const Matched = component(
  "MatchedTrigger",
  Type.Object({
    id: Type.String(),
    destination: Type.String(),
    verdict: VerdictSchema,
    sentence: Type.String({ description: "What decided it." }),
    clause: Type.Optional(Type.String({ description: "The clause that decided it." })),
  }),
)

const MatchPage = component(
  "MatchPage",
  Type.Object({
    event: SubjectSchema,
    items: Type.Array(Matched),
    nextPageToken: Type.Optional(
      Type.String({ description: "Absent on the last page. A page may hold few items, or none, and not be the last." }),
    ),
  }),
)

/** Which triggers an event fires. */
export function matchRoutes(app: App, context: ApiContext): void {
  app.post("/v1/triggers::match", documented(doc), async (request) => {
    const tenant = tenantOf(request)
    return readBodyWith(MatchInput, request.body, async (body, faults) => {
      const subject = await readSubject(context, tenant, body, body.topic, faults)
      if (subject === undefined || faults.count > 0) return undefined
      return { event: showSubject(subject), ...(await matchPage(context, tenant, subject, body)) }
    })
  })
}

type Body = Static<typeof MatchInput>
type Page = Pick<Static<typeof MatchPage>, "items" | "nextPageToken">

async function matchPage(context: ApiContext, tenant: string, subject: Subject, body: Body): Promise<Page> {
  const { explain = false, pageSize = pageSizeDefault } = body
  const query = [tenant, "match", body.cursor, body.event, body.topic, explain]
  const prefix = triggerKeys.ofTenant(tenant)
  const items: Static<typeof Matched>[] = []
  const after = parsePageToken(query, body.pageToken)
  const pace = createPace(context.clock)
  let [scanned, judged] = [0, 0]
  const from = after === undefined ? undefined : prefix + after
  for await (const { value: trigger } of itemsUnder<Trigger>(context.engine.catalog, prefix, from)) {
    await pace()
    scanned++
    const { id, destination } = trigger
    if (isOn(trigger, subject)) {
      judged++
      const { verdict, sentence, explanation } = await createJudge(trigger, context)(subject)
      if (explain || verdict !== "rejects")
        items.push({ id, destination, verdict, sentence, ...(explanation && { clause: explanation.clause }) })
    }
    if (items.length === pageSize || judged === judgedMax || scanned === scannedMax)
      return { items, nextPageToken: formatPageToken(query, id) }
  }
  return { items }
}

function isOn({ topic }: Trigger, { address }: Subject): boolean {
  const on = parseTopic(topic)
  return typeof on !== "string" && on.topic === address.topic
}

const doc = {
  operationId: "matchTriggers",
  tag: "Triggers",
  summary: "Ask which triggers an event fires",
  description: "A stored event, or one that is sent, by the triggers as they are now. Nothing is stored or delivered.",
  body: MatchInput,
  answers: { 200: MatchPage },
  problems: ["not-found"],
} as const
