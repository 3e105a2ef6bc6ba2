import Type from "typebox"
import type { AuditReport } from "../core/audit.ts"
import { sleep } from "../core/clock.ts"
import { component } from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { ProblemError } from "./errors.ts"
import { answerLines, linesType } from "./lines.ts"
import { type App, documented, type RouteDoc } from "./routes.ts"

const tellEveryMs = 250

const AuditLine = component(
  "AuditLine",
  Type.Union([
    Type.Object({
      kind: Type.Literal("progress"),
      partition: Type.Integer(),
      partitions: Type.Integer(),
      share: Type.Number({ description: "How much of the partition has been read, 0 to 1." }),
    }),
    Type.Object({
      kind: Type.Literal("report"),
      partition: Type.Integer(),
      name: Type.String({ description: "The partition's stream." }),
      complete: Type.Boolean(),
      events: Type.Integer(),
      bytes: Type.Integer(),
      dropped: Type.Optional(Type.Integer({ description: "Events that retention has dropped." })),
      findings: Type.Array(Type.Object({ kind: Type.String(), detail: Type.String() }), {
        description: "What is damaged, missing or there twice; the first 1,000.",
      }),
      findingsCount: Type.Integer(),
    }),
    Type.Object({ kind: Type.Literal("failed"), detail: Type.String() }),
  ]),
)

/** Reads all that is stored and checks it: for operators, since it is of all tenants. */
export function auditRoutes(app: App, context: ApiContext): void {
  const running = { now: false }
  app.post("/v1/audit", documented(doc), async (_, reply) => {
    if (running.now) {
      throw new ProblemError("overloaded", "an audit is being made already; try again when it is over", {
        headers: { "retry-after": "30" },
      })
    }
    running.now = true
    try {
      await answerLines(
        context,
        reply,
        "an audit",
        linesOf(context, () => reply.raw.destroyed),
      )
    } finally {
      running.now = false
    }
  })
}

async function* linesOf(context: ApiContext, gone: () => boolean): AsyncGenerator<object> {
  const { partitions } = context.engine.log
  for (let partition = 0; partition < partitions; partition++) {
    yield* auditOf(context, partition, partitions, gone)
    if (gone() || context.stop.aborted) return
  }
}

async function* auditOf(
  { engine, clock, stop }: ApiContext,
  partition: number,
  partitions: number,
  gone: () => boolean,
): AsyncGenerator<object> {
  const ending = new AbortController()
  let share = 0
  let report: AuditReport | undefined
  const done = engine
    .audit(partition, {
      progress: (reached, total) => {
        share = total === 0 ? 1 : reached / total
      },
      stop: AbortSignal.any([ending.signal, stop]),
    })
    .then((found) => {
      report = found
    })
  try {
    // Ends: the audit comes to the log's end, or its client goes.
    while (report === undefined) {
      yield { kind: "progress", partition, partitions, share }
      await Promise.race([done, sleep(clock, tellEveryMs)])
      if (gone()) return
    }
    yield { kind: "report", partition, ...report }
  } finally {
    ending.abort()
    await done.catch(() => {})
  }
}

const doc: RouteDoc = {
  operationId: "audit",
  operator: true,
  tag: "Operation",
  summary: "Read all that is stored, and check it",
  description: `Answers with lines (\`${linesType}\`): progress, and a report on each partition of the log. Finds events that are damaged, that are there twice, and that are missing though no retention dropped them.`,
  answers: { 200: { content: { [linesType]: { schema: AuditLine } } } },
  problems: ["overloaded"],
}
