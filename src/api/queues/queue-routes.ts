import type { FastifyReply, FastifyRequest } from "fastify"
import Type, { type Static } from "typebox"
import { foreverMs } from "../../core/deliveries.ts"
import type { Destination } from "../../core/resources.ts"
import { leaseMsMax, leaseMsMin, type QueueConfig, queueKind, queueSettings } from "../../destinations/queue/kind.ts"
import type { Result, Settlement, WorkQueue } from "../../queues/work-queues.ts"
import { readDuration } from "../../resources/durations.ts"
import type { Faults } from "../../resources/faults.ts"
import type { ResourceStore } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { ProblemError } from "../errors.ts"
import { readBody } from "../fields.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { leasedBody } from "./queue-body.ts"
import {
  afterMsMax,
  Extended,
  ExtendInput,
  LeasedDeliveries,
  LeaseInput,
  leasesMax,
  QueueStatus,
  Settled,
  SettleInput,
  Unlocked,
  UnlockInput,
  waitMsMax,
} from "./queue-schemas.ts"
import { statusOfQueue } from "./queue-status.ts"

/** A queue as its routes have it. */
interface Found extends WorkQueue {
  readonly leaseMs: number
}

/** Work queues: leasing, settling, and how they stand. */
export function queueRoutes(app: App, context: ApiContext, destinations: ResourceStore<Destination>): void {
  const find = (request: FastifyRequest) => findQueue(context, destinations, request)
  app.get("/v1/queues/:queue", documented(docs.status), async (request) => {
    const queue = await findQueue(context, destinations, request, true)
    return statusOfQueue(context, queue)
  })
  app.post("/v1/queues/:queue/lease", documented(docs.lease), async (request, reply) => {
    const wanted = readBody(LeaseInput, request.body, (body, faults) => ({
      max: body.max ?? 1,
      waitMs: within(body.waitFor, "waitFor", faults, [0, waitMsMax, "0 to 60s"]) ?? 0,
      leaseMs: within(body.lease, "lease", faults, leaseRange),
    }))
    const queue = await find(request)
    // Such a queue promises that nobody else gets what one worker has.
    const leaseMs = queue.leaseMs === foreverMs ? foreverMs : (wanted.leaseMs ?? queue.leaseMs)
    return lease(context, { queue, ...wanted, leaseMs }, request, reply)
  })
  app.post("/v1/queues/:queue/extend", documented(docs.extend), async (request) => {
    const { leases, byMs } = readBody(ExtendInput, request.body, ({ leases, by }, faults) => ({
      leases,
      byMs: within(by, "by", faults, leaseRange),
    }))
    const queue = await find(request)
    const forMs = byMs ?? Math.min(queue.leaseMs, leaseMsMax)
    const expiresAt = new Date(context.clock.now() + forMs).toISOString()
    const extensions = await context.queues.extend(queue, leases, forMs)
    return {
      items: extensions.map(({ state, isForever }, i) => ({
        lease: leases[i],
        state,
        ...(state === "extended" && !isForever && { expiresAt }),
      })),
    }
  })
  app.post("/v1/queues/:queue/unlock", documented(docs.unlock), async (request) => {
    const wanted = readBody(UnlockInput, request.body, readUnlock)
    return unlock(context, await find(request), wanted)
  })
  app.post("/v1/queues/:queue/settle", documented(docs.settle), async (request) => {
    const settlements = readBody(SettleInput, request.body, ({ settlements }, faults) =>
      Array.isArray(settlements) ? settlements.map((each, i) => readSettlement(each, i, faults)) : [],
    )
    const queue = await find(request)
    const states = await context.queues.settle(queue, settlements)
    return { items: states.map((state, i) => ({ lease: settlements[i]!.lease, state })) }
  })
}

async function findQueue(
  context: ApiContext,
  destinations: ResourceStore<Destination>,
  request: FastifyRequest,
  reads = false,
): Promise<Found> {
  const [tenant, id] = [tenantOf(request), pathPart(request, "queue")]
  const { value } = await destinations.find(tenant, id)
  if (value.kind !== queueKind.kind) {
    const detail = `destination ${id} is of kind ${value.kind}: what it is owed is sent there; only a queue's is leased`
    throw new ProblemError("conflict", detail)
  }
  if (context.held && !reads) throw onHold
  return { tenant, destination: id, ...queueSettings(value.config as QueueConfig) }
}

const onHold = new ProblemError(
  "held",
  "this hub was started with --hold: it delivers nothing; start it without --hold to work on its queues",
)

const leaseRange = [leaseMsMin, leaseMsMax, "100ms to 24h"] as const

function within(
  value: unknown,
  field: string,
  faults: Faults,
  [min, max, range]: readonly [number, number, string],
): number | undefined {
  const ms = readDuration(value, field, faults)
  if (ms === undefined || (ms >= min && ms <= max)) return ms
  faults.add(field, `must be ${range}`)
  return undefined
}

type UnlockWish = Static<typeof UnlockInput>

function readUnlock(body: UnlockWish, faults: Faults): UnlockWish {
  const { deliveries, all, after } = body
  if (deliveries === undefined && all === undefined) faults.add("deliveries", "is required, unless `all` is said")
  if (deliveries !== undefined && all !== undefined) faults.add("all", "says all, and `deliveries` names some")
  if (after !== undefined && all === undefined) faults.add("after", "goes with `all`")
  return body
}

async function unlock({ queues }: ApiContext, queue: WorkQueue, wanted: UnlockWish): Promise<Static<typeof Unlocked>> {
  const { deliveries, after } = wanted
  const { ids, next } = deliveries ? { ids: deliveries } : await queues.leased(queue, { after, limit: leasesMax })
  const states = await queues.unlock(queue, ids)
  const items = ids.map((delivery, i) => ({ delivery, state: states[i]! }))
  return { items, ...(next !== undefined && { next }) }
}

type SettlementInput = Static<typeof SettleInput>["settlements"][number]

function readSettlement(each: SettlementInput, i: number, faults: Faults): Settlement {
  const at = `settlements[${i}]`
  const { lease, result, after, reason } = each ?? {}
  const because = reason !== undefined && { reason }
  const isClean = faults.clean(at)
  if (isClean && after !== undefined && result !== "retry") faults.add(`${at}.after`, "is of a retry alone")
  if (isClean && reason !== undefined && result === "done") faults.add(`${at}.reason`, "is of no done one")
  const afterMs = within(after, `${at}.after`, faults, [0, afterMsMax, "0 to 30d"])
  return { lease, result: resultOf(result, { ...(afterMs !== undefined && { afterMs }), ...because }) }
}

function resultOf(
  kind: SettlementInput["result"],
  more: { readonly afterMs?: number; readonly reason?: string },
): Result {
  if (kind === "retry") return { kind, ...more }
  return kind === "reject" ? { kind, ...(more.reason !== undefined && { reason: more.reason }) } : { kind: "done" }
}

interface Wanted {
  readonly queue: Found
  readonly max: number
  readonly waitMs: number
  readonly leaseMs: number
}

/** Whoever goes away while it waits, or before it has its answer, has nothing leased. */
async function lease(
  context: ApiContext,
  { queue, ...wish }: Wanted,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { queues, polls, stop, room } = context
  const left = new AbortController()
  const { raw } = reply
  raw.once("close", () => left.abort())
  if (raw.destroyed) left.abort()
  const leave = wish.waitMs > 0 ? polls.take(queue.tenant) : () => {}
  const items = await queues.lease(queue, { ...wish, gone: AbortSignal.any([left.signal, stop]) }).finally(leave)
  const body = leasedBody(items)
  const refusal = room.shareOf(request).hold(body.length)
  if (refusal !== undefined) {
    await queues.giveBack(items)
    throw refusal
  }
  const giveBack = () => void queues.giveBack(items)
  if (left.signal.aborted) giveBack()
  else {
    raw.once("close", giveBack)
    raw.once("finish", () => raw.off("close", giveBack))
  }
  return reply.type("application/json; charset=utf-8").send(body)
}

const tag = "Queues"
const params = Type.Object({ queue: Type.String({ description: "The id of a destination of kind queue." }) })
const problems = ["not-found", "conflict", "held", "overloaded"] as const

const docs = {
  status: {
    operationId: "getQueue",
    tag,
    summary: "See how a work queue stands",
    params,
    answers: { 200: QueueStatus },
    problems: ["not-found", "conflict"],
  },
  lease: {
    operationId: "leaseDeliveries",
    tag,
    summary: "Lease deliveries of a work queue",
    description:
      "Each delivery is one worker's at a time, until it settles it or its lease lapses, which counts as an attempt. Workers who " +
      "wait are served in the order in which they came. A worker that goes away before it has its answer has leased nothing.",
    params,
    body: LeaseInput,
    bodyOptional: true,
    answers: { 200: LeasedDeliveries },
    problems,
  },
  extend: {
    operationId: "extendLeases",
    tag,
    summary: "Make leases longer",
    params,
    body: ExtendInput,
    answers: { 200: Extended },
    problems,
  },
  settle: {
    operationId: "settleLeases",
    tag,
    summary: "Settle leased deliveries",
    description:
      "Says of each whether it is done, is to be tried again, or is to be given up, and answers whether that was heard in time. An " +
      "event `redcar.attempt` tells of each attempt, as of every other.",
    params,
    body: SettleInput,
    answers: { 200: Settled },
    problems,
  },
  unlock: {
    operationId: "unlockDeliveries",
    tag,
    summary: "Give leased deliveries back",
    description:
      "Ends leases by their deliveries, whoever has them: those of workers who died, above all in a queue whose leases never lapse. " +
      "What is unlocked can be leased again at once; its attempt has its number, and does not count against the retry policy. A " +
      "worker who settles it after that is told `lost`.",
    params,
    body: UnlockInput,
    answers: { 200: Unlocked },
    problems,
  },
} as const
