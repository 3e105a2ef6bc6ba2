import type { FastifyReply } from "fastify"
import Type, { type Static } from "typebox"
import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { StoredEvent } from "../../core/log.ts"
import { createPace } from "../../core/pace.ts"
import type { Trigger } from "../../core/resources.ts"
import type { Faults } from "../../resources/faults.ts"
import { component, strict, Timestamp } from "../../resources/schemas.ts"
import type { ResourceStore } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { readBody } from "../fields.ts"
import { answerLines, linesType } from "../lines.ts"
import { idParams } from "../resource-routes.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { addressOf, type Range, rangeFields, readRange } from "./range.ts"
import { readUnsaved, unsavedFields } from "./unsaved-trigger.ts"
import { createJudge, type Judge } from "./verdict.ts"

const eventsDefault = 1_000_000
const eventsMax = 100_000_000
const sampleDefault = 10
const sampleMax = 100
/** Clauses that are counted; the rest is counted together. */
const clausesMax = 256
/** Dry runs at a time: each takes as much of a processor as it gets. */
const runsMax = 4
const batchMax = 256
const progressMs = 250

const dryRunFields = {
  ...rangeFields,
  eventsMax: Type.Optional(
    Type.Integer({ minimum: 1, maximum: eventsMax, default: eventsDefault, description: "Events read at most." }),
  ),
  sampleMax: Type.Optional(
    Type.Integer({ minimum: 0, maximum: sampleMax, default: sampleDefault, description: "Matched events shown." }),
  ),
}

const DryRunInput = component("DryRunInput", strict(dryRunFields, { examples: [{ from: "2026-01-31T00:00:00Z" }] }))

const DryRunUnsavedInput = component(
  "DryRunUnsavedInput",
  strict(
    { ...unsavedFields, ...dryRunFields, topic: unsavedFields.topic },
    { examples: [{ topic: "orders", filters: [{ exact: { type: "order.paid" } }], from: "oldest" }] },
  ),
)

const figures = {
  events: Type.Integer({ description: "Read so far." }),
  matched: Type.Integer(),
}

const DryRunProgress = component(
  "DryRunProgress",
  Type.Object({
    kind: Type.Literal("progress"),
    ...figures,
    share: Type.Number({ description: "How far, 0 to 1: by events where all are read, else by their stored time." }),
    storedAt: Type.Optional(Timestamp),
  }),
)

const DryRunResult = component(
  "DryRunResult",
  Type.Object({
    kind: Type.Literal("result"),
    ...figures,
    complete: Type.Boolean({ description: "False where eventsMax ended it; `next` is where to go on." }),
    next: Type.String({ description: "A cursor: `from` of a run over what follows." }),
    firstAt: Type.Optional(Timestamp),
    lastAt: Type.Optional(Timestamp),
    perMinute: Type.Number({ description: "Matches a minute over the stored time from the first event to the last." }),
    perMinuteMax: Type.Integer({ description: "Matches in the minute of the clock that has the most." }),
    sample: Type.Array(
      Type.Object({ cursor: Type.String(), id: Type.String(), source: Type.String(), type: Type.String() }),
      { description: "The first that matched." },
    ),
    clauses: Type.Array(Type.Object({ clause: Type.String(), events: Type.Integer() }), {
      description: "What decided about those that did not match, the most frequent first.",
    }),
  }),
)

const DryRunFailed = component(
  "DryRunFailed",
  Type.Object({ kind: Type.Literal("failed"), detail: Type.String() }, { description: "It broke off." }),
)

/** Answers a dry run, whoever was asked for it. */
export type AnswerDryRun = (reply: FastifyReply, asked: DryRun) => Promise<void>

/** What a trigger would have made of stored events. */
export function dryRunRoutes(app: App, context: ApiContext, store: ResourceStore<Trigger>): AnswerDryRun {
  const runs = { now: 0 }
  app.post("/v1/triggers/:id/dry-run", documented(docs.dryRun), async (request, reply) => {
    const { value: trigger } = await store.find(tenantOf(request), pathPart(request, "id"))
    const address = addressOf(trigger.tenant, trigger.topic)
    const range = readBody(DryRunInput, request.body, (body, faults) => readDryRun(context, address, body, faults))
    return run(context, reply, { judge: { filters: trigger.filters }, address, ...range }, runs)
  })
  app.post("/v1/triggers::dry-run", documented(docs.dryRunUnsaved), async (request, reply) => {
    const asked = readBody(DryRunUnsavedInput, request.body, (body, faults) => {
      const { filters, topic } = readUnsaved(body, context.clock.now(), faults)
      if (topic === undefined && faults.clean("topic")) faults.add("topic", "is required")
      if (topic === undefined || !faults.clean("topic")) return undefined
      const address = addressOf(tenantOf(request), topic)
      return { judge: { filters }, address, ...readDryRun(context, address, body, faults) }
    })
    return run(context, reply, asked!, runs)
  })
  return (reply, asked) => run(context, reply, asked, runs)
}

/** What is to be read, and by what it is judged. */
export interface DryRun extends Range {
  readonly judge: Judge
  readonly address: Address
  readonly eventsMax: number
  readonly sampleMax: number
}

function readDryRun(
  context: ApiContext,
  address: Address,
  body: Static<typeof DryRunInput>,
  faults: Faults,
): Range & Pick<DryRun, "eventsMax" | "sampleMax"> {
  const range = readRange(context, address, body, faults)
  return { ...range, eventsMax: body.eventsMax ?? eventsDefault, sampleMax: body.sampleMax ?? sampleDefault }
}

/** Answers with lines of progress and, last, the result. */
async function run(context: ApiContext, reply: FastifyReply, asked: DryRun, runs: { now: number }): Promise<void> {
  if (runs.now >= runsMax) {
    throw new ProblemError("overloaded", `${runsMax} dry runs are being made already; try again when one is over`, {
      headers: { "retry-after": "5" },
    })
  }
  runs.now++
  try {
    const end = await endOf(context, asked)
    await answerLines(
      context,
      reply,
      "a dry run",
      linesOf(context, asked, end, () => reply.raw.destroyed),
    )
  } finally {
    runs.now--
  }
}

/** The last place to read, and the time of it, as far as they are known. */
interface End {
  readonly cursor: Cursor
  readonly at: number
  /** How many events there are to read; undefined where only their time is known. */
  readonly events?: number
}

async function endOf(
  { engine: { log }, clock }: ApiContext,
  { address, from, until, eventsMax }: DryRun,
): Promise<End> {
  const { newestAt = clock.now(), events } = await log.stats(address)
  const partition = log.partitionOf(address)
  if (until === undefined) {
    const whole = from === "oldest" && address.key === undefined
    return { cursor: await log.head(partition), at: newestAt, ...(whole && { events: Math.min(events, eventsMax) }) }
  }
  if (typeof until === "string") return { cursor: until, at: (await log.get(until))?.storedAt ?? newestAt }
  return { cursor: await log.at(until.time, partition), at: Math.min(until.time, newestAt) }
}

type Line = Static<typeof DryRunProgress> | Static<typeof DryRunResult>

async function* linesOf(
  context: ApiContext,
  asked: DryRun,
  end: End,
  gone: () => boolean,
): AsyncGenerator<Line, void, undefined> {
  const { clock, stop, engine } = context
  const { address, from, eventsMax } = asked
  const tally = new Tally(createJudge(asked.judge, context), asked.sampleMax)
  const pace = createPace(clock)
  let next = typeof from === "string" && from !== "oldest" ? (from as Cursor) : end.cursor
  let toldAt = clock.steady()
  yield tally.progress(end)
  for await (const batch of engine.log.read({ where: address, from, until: end.cursor, batchMax })) {
    for (const stored of batch.events) {
      if (tally.events === eventsMax) return yield tally.result(next, false)
      await tally.take(stored)
      await pace()
      next = stored.cursor
    }
    if (gone() || stop.aborted) return
    if (clock.steady() - toldAt < progressMs) continue
    toldAt = clock.steady()
    yield tally.progress(end)
  }
  yield tally.result(end.cursor, true)
}

/** What a run has come to so far. Constant in memory, however much is read. */
class Tally {
  events = 0
  #matched = 0
  #firstAt: number | undefined
  #lastAt = 0
  #minute = 0
  #inMinute = 0
  #inMinuteMax = 0
  readonly #judge: ReturnType<typeof createJudge>
  readonly #sampleMax: number
  readonly #sample: Static<typeof DryRunResult>["sample"] = []
  readonly #clauses = new Map<string, number>()

  constructor(judge: ReturnType<typeof createJudge>, sampleMax: number) {
    this.#judge = judge
    this.#sampleMax = sampleMax
  }

  async take(stored: StoredEvent): Promise<void> {
    const { event, address, storedAt, cursor } = stored
    this.events++
    this.#firstAt ??= storedAt
    this.#lastAt = storedAt
    const { verdict, sentence, explanation } = await this.#judge({ event, address, stored })
    if (verdict === "rejects") this.#count(explanation?.clause ?? sentence)
    else {
      this.#match(storedAt)
      const { id, source, type } = event
      if (this.#sample.length < this.#sampleMax) this.#sample.push({ cursor, id, source, type })
    }
  }

  #match(storedAt: number): void {
    const minute = Math.floor(storedAt / 60_000)
    this.#matched++
    this.#inMinute = minute === this.#minute ? this.#inMinute + 1 : 1
    this.#minute = minute
    this.#inMinuteMax = Math.max(this.#inMinuteMax, this.#inMinute)
  }

  #count(clause: string): void {
    const known = this.#clauses.has(clause) || this.#clauses.size < clausesMax ? clause : "others"
    this.#clauses.set(known, (this.#clauses.get(known) ?? 0) + 1)
  }

  progress(end: End): Static<typeof DryRunProgress> {
    return {
      kind: "progress",
      events: this.events,
      matched: this.#matched,
      share: Math.min(1, Math.round(this.#share(end) * 1_000) / 1_000),
      ...(this.#firstAt !== undefined && { storedAt: new Date(this.#lastAt).toISOString() }),
    }
  }

  #share({ at, events }: End): number {
    if (this.#firstAt === undefined) return 0
    if (events !== undefined) return this.events / Math.max(1, events)
    return at <= this.#firstAt ? 1 : (this.#lastAt - this.#firstAt) / (at - this.#firstAt)
  }

  result(next: Cursor, complete: boolean): Static<typeof DryRunResult> {
    const minutes = this.#firstAt === undefined ? 0 : (this.#lastAt - this.#firstAt) / 60_000
    // Events within one minute say nothing of a rate beyond their count.
    const perMinute = this.#matched / Math.max(1, minutes)
    const clauses = [...this.#clauses].map(([clause, events]) => ({ clause, events }))
    return {
      kind: "result",
      events: this.events,
      matched: this.#matched,
      complete,
      next,
      ...(this.#firstAt !== undefined && {
        firstAt: new Date(this.#firstAt).toISOString(),
        lastAt: new Date(this.#lastAt).toISOString(),
      }),
      perMinute: Math.round(perMinute * 1_000) / 1_000,
      perMinuteMax: this.#inMinuteMax,
      sample: this.#sample,
      clauses: clauses.sort((a, b) => b.events - a.events),
    }
  }
}

const shared = {
  tag: "Triggers",
  answers: {
    200: {
      description: "Lines of JSON: progress as it goes, and the result, which is the last.",
      content: { [linesType]: { schema: Type.Union([DryRunProgress, DryRunResult, DryRunFailed]) } },
    },
  },
  problems: ["not-found"],
} as const

const docs = {
  dryRun: {
    ...shared,
    operationId: "dryRunTrigger",
    summary: "Try a trigger on stored events",
    description:
      "What its filters say to the events of its topic, wherever it starts and whether it is paused. Nothing is delivered. " +
      "Closing the connection ends it.",
    params: idParams("trigger"),
    body: DryRunInput,
    bodyOptional: true,
  },
  dryRunUnsaved: {
    ...shared,
    operationId: "dryRunUnsavedTrigger",
    summary: "Try a trigger that is not saved on stored events",
    description: "Takes a trigger as it would be created, with a range.",
    body: DryRunUnsavedInput,
  },
} as const
