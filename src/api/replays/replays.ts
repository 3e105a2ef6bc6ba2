import type { FastifyReply, FastifyRequest } from "fastify"
import Type, { type Static } from "typebox"
import { replayKeys } from "../../core/catalog-keys.ts"
import { itemsUnder, scanFor } from "../../core/catalog-scan.ts"
import { changeAgainst } from "../../core/conflicts.ts"
import { newIncarnation, type Replay, type ReplayState, replayStates, type Trigger } from "../../core/resources.ts"
import type { Faults } from "../../resources/faults.ts"
import { readFilters } from "../../resources/filters.ts"
import { invalidFields } from "../../resources/refusal.ts"
import { choice, component, strict } from "../../resources/schemas.ts"
import { mayBeId, type ResourceStore } from "../../resources/store.ts"
import { hasDestination } from "../../resources/triggers.ts"
import type { ApiContext } from "../context.ts"
import { notFound, ProblemError } from "../errors.ts"
import { readBody, readBodyWith, readQuery } from "../fields.ts"
import { formatPageToken, pageSizeDefault, parsePageToken } from "../paging.ts"
import { idParams } from "../resource-routes.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { PageQuery, pageOf } from "../schemas.ts"
import type { AnswerDryRun } from "../triggers/dry-run.ts"
import { addressOf, endsOf, type Range, readRange } from "../triggers/range.ts"
import { ReplayInput, ReplaySchema, showReplay } from "./replay-schema.ts"

/** Replays of a tenant that have not come to their end, and of those that have. */
const [openMax, endedMax] = [100, 100]

const ListQuery = strict({
  trigger: Type.Optional(Type.String({ description: "Only those of this trigger." })),
  state: Type.Optional(choice(replayStates, { description: "Only those in this state." })),
  ...PageQuery,
})

const NothingInput = component("ReplayActionInput", strict({}))

/** Replays: events of the past, delivered once more. */
export function replayRoutes(
  app: App,
  context: ApiContext,
  triggers: ResourceStore<Trigger>,
  answerDryRun: AnswerDryRun,
): void {
  app.post("/v1/triggers/:id/replays", documented(docs.create), async (request, reply) => {
    const { value: trigger } = await triggers.find(tenantOf(request), pathPart(request, "id"))
    const asked = await readBodyWith(ReplayInput, request.body, (body, faults) => read(context, trigger, body, faults))
    const address = addressOf(trigger.tenant, trigger.topic)
    if (asked.dryRun) {
      const judge = { filters: [...trigger.filters, ...asked.filters] }
      return answerDryRun(reply, { judge, address, ...asked.range, eventsMax: dryRunMax, sampleMax: 10 })
    }
    const ends = await endsOf(context.engine.log, address, asked.range)
    if (context.engine.log.compare(ends.from, ends.until) > 0) {
      throw invalidFields([{ field: "until", message: "is before from: nothing is between them" }])
    }
    return created(reply, await create(context, trigger, { ...asked, ...ends }))
  })
  app.get("/v1/replays", documented(docs.list), async (request) => list(context, request))
  app.get("/v1/replays/:id", documented(docs.get), async (request) => showReplay(await find(context, request)))
  for (const action of ["pause", "resume", "cancel"] as const) {
    app.post(`/v1/replays/:id/${action}`, documented(actionDoc(action)), async (request) => {
      readBody(NothingInput, request.body)
      return showReplay(await act(context, request, action))
    })
  }
}

const dryRunMax = 1_000_000

function created(reply: FastifyReply, replay: Replay): unknown {
  void reply.status(201).header("location", `/v1/replays/${replay.id}`)
  return showReplay(replay)
}

interface Asked extends Pick<Replay, "filters" | "destination" | "ratePerSecond"> {
  readonly range: Range
  readonly dryRun: boolean
}

async function read(
  context: ApiContext,
  trigger: Trigger,
  body: Static<typeof ReplayInput>,
  faults: Faults,
): Promise<Asked> {
  const range = readRange(context, addressOf(trigger.tenant, trigger.topic), body, faults)
  const filters = readFilters(body.filters, faults)
  const destination = faults.clean("destination") ? (body.destination ?? trigger.destination) : trigger.destination
  if (!mayBeId(destination) || !(await hasDestination(context, trigger.tenant, destination)))
    faults.add("destination", `there is no destination ${JSON.stringify(destination)}; create it first`)
  const { ratePerSecond } = body
  return {
    range,
    filters,
    destination,
    ...(ratePerSecond !== undefined && { ratePerSecond }),
    dryRun: body.dryRun === true,
  }
}

async function create(
  context: ApiContext,
  { tenant, id: trigger, incarnation = "", topic }: Trigger,
  { filters, destination, ratePerSecond, from, until }: Asked & Pick<Replay, "from" | "until">,
): Promise<Replay> {
  const { engine, clock, chance } = context
  const now = clock.now()
  await makeRoom(context, tenant)
  const replay: Replay = {
    ...{ id: `rp-${newIncarnation(now, chance)}`, tenant, createdAt: now, updatedAt: now },
    ...{ trigger, incarnation, topic, filters, destination, from, until },
    ...(ratePerSecond !== undefined && { ratePerSecond }),
    state: "counting",
    progress: { done: 0, notedAt: now },
  }
  await engine.catalog.put(replayKeys.of(replay), replay, 0)
  return replay
}

/** Of those that have ended the oldest go. Throws ProblemError where too many are open. */
async function makeRoom(context: ApiContext, tenant: string): Promise<void> {
  const all = await scanFor<Replay>(context, replayKeys.ofTenant(tenant), () => true)
  const ended = all.filter(({ state }) => isEnded(state))
  if (all.length - ended.length >= openMax) {
    throw new ProblemError("conflict", `${openMax} replays are under way; wait until one is over, or cancel one`)
  }
  const over = ended.slice(0, Math.max(0, ended.length - endedMax + 1))
  for (const replay of over) await context.engine.catalog.delete(replayKeys.of(replay))
}

function isEnded(state: ReplayState): boolean {
  return state === "done" || state === "cancelled"
}

async function list(context: ApiContext, request: FastifyRequest): Promise<object> {
  const { pageSize = pageSizeDefault, pageToken, trigger, state } = readQuery(ListQuery, request.query)
  const tenant = tenantOf(request)
  const query = [tenant, "replays", trigger, state]
  const items: object[] = []
  let last = ""
  for await (const { key, value } of itemsUnder<Replay>(
    context.engine.catalog,
    replayKeys.ofTenant(tenant),
    parsePageToken(query, pageToken),
  )) {
    if (trigger !== undefined && value.trigger !== trigger) continue
    if (state !== undefined && value.state !== state) continue
    if (items.length === pageSize) return { items, nextPageToken: formatPageToken(query, last) }
    items.push(showReplay(value))
    last = key
  }
  return { items }
}

async function find({ engine }: ApiContext, request: FastifyRequest): Promise<Replay> {
  const [tenant, id] = [tenantOf(request), pathPart(request, "id")]
  const item = mayBeId(id) ? await engine.catalog.get<Replay>(replayKeys.of({ tenant, id })) : undefined
  if (item === undefined)
    throw notFound(`there is no replay ${JSON.stringify(id)}; GET /v1/replays lists what there is`)
  return item.value
}

type Action = "pause" | "resume" | "cancel"

function act(context: ApiContext, request: FastifyRequest, action: Action): Promise<Replay> {
  const { engine, clock } = context
  return changeAgainst(clock, "the replay", async () => {
    const { tenant, id } = await find(context, request)
    const item = await engine.catalog.get<Replay>(replayKeys.of({ tenant, id }), { newest: true })
    if (item === undefined)
      throw notFound(`there is no replay ${JSON.stringify(id)}; GET /v1/replays lists what there is`)
    const state = after(item.value, action)
    if (state === item.value.state) return item.value
    const changed = { ...item.value, state, updatedAt: clock.now() }
    await engine.catalog.put(item.key, changed, item.revision)
    return changed
  })
}

function after({ id, state, progress }: Replay, action: Action): ReplayState {
  if (isEnded(state) && !(action === "cancel" && state === "cancelled")) {
    throw new ProblemError("conflict", `replay ${id} is over: it is ${state}; make another one`)
  }
  if (action === "cancel") return "cancelled"
  if (action === "pause") return "paused"
  if (state !== "paused") return state
  return progress.total === undefined ? "counting" : "running"
}

const tag = "Replays"

function actionDoc(action: Action) {
  const said = {
    pause: ["Pause a replay", "It makes no more deliveries; those that are made go on."],
    resume: ["Resume a replay", "It goes on where it was."],
    cancel: [
      "Cancel a replay",
      "It makes no more deliveries, and those that are open are dropped when their turn comes.",
    ],
  } as const
  const [summary, description] = said[action]
  return {
    operationId: `${action}Replay`,
    ...{ tag, summary, description, params: idParams("replay"), body: NothingInput, bodyOptional: true },
    answers: { 200: ReplaySchema },
    problems: ["not-found", "conflict"],
  } as const
}

const docs = {
  create: {
    operationId: "createReplay",
    tag,
    summary: "Deliver events of the past once more",
    description:
      "Events of the trigger's topic that are in the range and match are delivered, as deliveries of their own: with ids of their " +
      "own, and `redcarreplay` says which replay made them. They go beside what is new, with a quarter of the destination's " +
      "concurrency, and what is left of its rate.",
    params: idParams("trigger"),
    body: ReplayInput,
    bodyOptional: true,
    answers: { 201: ReplaySchema },
    problems: ["not-found", "conflict"],
  },
  list: {
    operationId: "listReplays",
    ...{ tag, summary: "List replays", query: ListQuery },
    answers: { 200: pageOf("Replays", ReplaySchema) },
  },
  get: {
    operationId: "getReplay",
    ...{ tag, summary: "Get a replay", params: idParams("replay") },
    answers: { 200: ReplaySchema },
    problems: ["not-found"],
  },
} as const
