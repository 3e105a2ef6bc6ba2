import Type, { type Static } from "typebox"
import { InvalidCursorError } from "../../core/errors.ts"
import type { Trigger } from "../../core/resources.ts"
import { warningsOf } from "../../filters/index.ts"
import type { Faults } from "../../resources/faults.ts"
import { component, strict } from "../../resources/schemas.ts"
import type { ResourceStore } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { readBodyWith } from "../fields.ts"
import { idParams } from "../resource-routes.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { nowhere, readSubject, type Subject, SubjectSchema, showSubject, subjectFields } from "./subject.ts"
import { WarningsSchema } from "./triggers.ts"
import { readUnsaved, unsavedFields } from "./unsaved-trigger.ts"
import { createJudge, ExplanationFields, type Judge, ReasonSchema, showExplanation, VerdictSchema } from "./verdict.ts"

const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid" }

const ExplainInput = component(
  "ExplainInput",
  strict(
    {
      ...subjectFields,
      topic: Type.Optional(
        Type.String({ description: "Where an event in the body would be published; default: the trigger's topic." }),
      ),
    },
    { examples: [{ cursor: "00000000008" }, { event }] },
  ),
)

const ExplainUnsavedInput = component(
  "ExplainUnsavedInput",
  strict(
    { ...unsavedFields, ...subjectFields },
    { examples: [{ topic: "orders", filters: [{ exact: { type: "order.paid" } }], event }] },
  ),
)

const Explained = component(
  "TriggerExplanation",
  Type.Object({
    trigger: Type.Optional(Type.String({ description: "Absent for one that is not saved." })),
    event: SubjectSchema,
    verdict: VerdictSchema,
    sentence: Type.String({
      description: "What decided it.",
      examples: ['The event does not pass: type is "order.paid" is false, for it is "order.created".'],
    }),
    reasons: Type.Array(ReasonSchema),
    ...Type.Partial(Type.Object(ExplanationFields)).properties,
    warnings: WarningsSchema,
  }),
)

/** Why an event fires a trigger, or why not: a stored trigger, or one that is not saved. */
export function explainRoutes(app: App, context: ApiContext, store: ResourceStore<Trigger>): void {
  app.post("/v1/triggers/:id/explain", documented(docs.explain), async (request) => {
    const tenant = tenantOf(request)
    const { value: trigger } = await store.find(tenant, pathPart(request, "id"))
    return readBodyWith(ExplainInput, request.body, async (body, faults) => {
      const subject = await readSubject(context, tenant, body, body.topic ?? trigger.topic, faults)
      return subject && { trigger: trigger.id, ...(await explain(context, trigger, subject)) }
    })
  })
  // The doubled colon stands for one.
  app.post("/v1/triggers::explain", documented(docs.explainUnsaved), async (request) => {
    const tenant = tenantOf(request)
    return readBodyWith(ExplainUnsavedInput, request.body, async (body, faults) => {
      const judge = readUnsaved(body, context.clock.now(), faults)
      const subject = await readSubject(context, tenant, body, body.topic ?? nowhere, faults)
      return subject && faults.count === 0 ? explainUnsaved(context, judge, subject, faults) : undefined
    })
  })
}

/** The start of an unsaved trigger has not been checked against the log yet. */
async function explainUnsaved(context: ApiContext, judge: Judge, subject: Subject, faults: Faults) {
  try {
    return await explain(context, judge, subject)
  } catch (error) {
    if (!(error instanceof InvalidCursorError)) throw error
    faults.add("start.cursor", "is no cursor of the event's topic")
    return undefined
  }
}

async function explain(context: ApiContext, judge: Judge, subject: Subject): Promise<Static<typeof Explained>> {
  const { verdict, sentence, reasons, explanation } = await createJudge(judge, context)(subject)
  const warnings = warningsOf(judge.filters)
  return {
    event: showSubject(subject) as Static<typeof SubjectSchema>,
    verdict,
    sentence,
    reasons: [...reasons],
    ...(explanation && showExplanation(explanation)),
    ...(warnings.length > 0 && { warnings: [...warnings] }),
  }
}

const shared = {
  tag: "Triggers",
  answers: { 200: Explained },
  problems: ["not-found"],
} as const

const docs = {
  explain: {
    ...shared,
    operationId: "explainTrigger",
    summary: "Ask why an event fires a trigger, or why not",
    description:
      "The tree of the filters with what each clause came to, and the one that decided, in a sentence. The event is a stored " +
      "one or one that is sent; nothing is stored or delivered.",
    params: idParams("trigger"),
    body: ExplainInput,
  },
  explainUnsaved: {
    ...shared,
    operationId: "explainUnsavedTrigger",
    summary: "Ask the same of a trigger that is not saved",
    description: "Takes a trigger as it would be created, with an event. Without a topic it is on the event's.",
    body: ExplainUnsavedInput,
  },
} as const
