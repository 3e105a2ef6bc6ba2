import Type from "typebox"
import { editorSupport, parseFilters, warningsOf } from "../../filters/index.ts"
import { component, strict } from "../../resources/schemas.ts"
import { fieldOf, lossesOf, messageOf } from "../as-written.ts"
import { readBody } from "../fields.ts"
import { type App, documented } from "../routes.ts"
import { WarningsSchema } from "./triggers.ts"

const FilterCheckInput = component(
  "FilterCheckInput",
  strict(
    {
      filters: Type.Unknown({
        description: "What is to be checked: an array of filters, or what somebody takes for one.",
      }),
    },
    { examples: [{ filters: [{ sql: "type = 'order.paid' AND data.total > 10" }] }] },
  ),
)

const FilterFault = component(
  "FilterFault",
  Type.Object({
    field: Type.String({ examples: ["filters[0].sql"] }),
    message: Type.String(),
    line: Type.Optional(Type.Integer({ description: "In a filter that is text, from 1." })),
    column: Type.Optional(Type.Integer({ description: "In characters, from 1." })),
    found: Type.Optional(Type.String()),
    expected: Type.Optional(Type.String()),
  }),
)

const FilterCheck = component(
  "FilterCheck",
  Type.Object({
    valid: Type.Boolean(),
    faults: Type.Array(FilterFault, { description: "Every fault at once, each with its place." }),
    warnings: WarningsSchema,
  }),
)

const texts = Type.Array(Type.String())
const EditorSupport = component(
  "FilterEditorSupport",
  Type.Object({
    dialects: texts,
    attributes: texts,
    sql: Type.Object({
      keywords: texts,
      functions: Type.Array(
        Type.Object({
          name: Type.String(),
          signature: Type.String(),
          description: Type.String(),
          returns: Type.String(),
        }),
      ),
    }),
    pattern: Type.Object({ operators: texts }),
    query: Type.Object({ keywords: texts, casts: texts }),
  }),
)

/** What an editor of filters asks while somebody types. */
export function filterRoutes(app: App): void {
  app.get("/v1/filters/editor", documented(docs.editor), async () => editorSupport)
  // The doubled colon stands for one.
  app.post("/v1/filters::check", documented(docs.check), async (request) => {
    const { filters } = readBody(FilterCheckInput, request.body)
    const lost = lossesOf(request.body).map((loss) => ({ field: fieldOf(loss), message: messageOf(loss) }))
    const parsed = parseFilters(filters)
    const faults = parsed.ok ? [] : parsed.faults
    const isKnown = (fault: { readonly field: string }) => lost.some(({ field }) => field === fault.field)
    const all = [...lost, ...faults.filter((fault) => !isKnown(fault))]
    if (!parsed.ok || all.length > 0) return { valid: false, faults: all }
    const warnings = warningsOf(parsed.filters)
    return { valid: true, faults: [], ...(warnings.length > 0 && { warnings }) }
  })
}

const docs = {
  editor: {
    operationId: "getFilterEditorSupport",
    tag: "Triggers",
    summary: "Read what an editor of filters needs",
    description: "The dialects, with their keywords, operators and functions, for completion.",
    answers: { 200: EditorSupport },
  },
  check: {
    operationId: "checkFilters",
    tag: "Triggers",
    summary: "Check filters",
    description: "Answers 200 also where they are wrong, with the line and column of each fault.",
    body: FilterCheckInput,
    answersLosses: true,
    answers: { 200: FilterCheck },
  },
} as const
