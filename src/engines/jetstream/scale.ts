import type { NatsConnection } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Logger } from "../../core/logger.ts"
import { retryAtStart } from "../../core/start-retry.ts"
import { connectNats, NatsRefusedError } from "./connection.ts"
import { createNames, type Names } from "./names.ts"
import { findPartitions } from "./partitions.ts"
import { bucketStream, plannedStreams, type StreamPlan } from "./plans.ts"
import { ask, JetStreamError } from "./request.ts"
import { orRefused } from "./start-requests.ts"
import { type Difference, differences, findStream, type StreamFound } from "./streams.ts"

export interface ScaleOptions {
  readonly servers: readonly string[]
  readonly credentialsFile?: string
  readonly caFile?: string
  readonly prefix: string
  /** Servers that are to hold each stream; default: as many as now. */
  readonly replicas?: number
  /** Default: as now. */
  readonly dedupeWindowMs?: number
  readonly clock: Clock
  readonly log: Logger
}

/** A change of the hub's streams that has been planned, and nothing of it made. */
export interface Scaling {
  readonly steps: readonly Difference[]
  /** Makes the changes, a stream after the other; `tell` hears of each that is done. Throws NatsRefusedError. */
  apply(tell: (stream: string) => void): Promise<void>
  /** Waits until every copy has all that its stream holds, or `msMax` have passed; answers the streams where it has not. */
  settled(msMax: number): Promise<readonly string[]>
  close(): Promise<void>
}

interface Planned {
  readonly plan: StreamPlan
  readonly found: StreamFound
  readonly steps: readonly Difference[]
}

const settledEveryMs = 250
/** Every process that works shows that it lives more often than this. */
const beatMsMax = 2_500

/**
 * Plans to bring the streams of a hub to what is asked for, and to what this version needs. Throws NatsRefusedError where there
 * is no such hub, or one of its processes runs.
 */
export async function planScaling(options: ScaleOptions): Promise<Scaling> {
  const { clock } = options
  const nats = await connectNats(options)
  try {
    const names = createNames(options.prefix)
    const planned = await orRefused(() => planAll(nats, names, options))
    return {
      steps: planned.flatMap(({ steps }) => steps),
      async apply(tell) {
        await orRefused(() => refuseRunning(nats, clock, names))
        for (const one of planned) if (one.steps.length > 0) await orRefused(() => change(nats, clock, one, tell))
      },
      settled: (msMax) => orRefused(() => settled(nats, clock, planned, msMax)),
      close: () => nats.close(),
    }
  } catch (error) {
    await nats.close()
    throw error
  }
}

async function planAll(
  nats: NatsConnection,
  names: Names,
  { clock, prefix, replicas, dedupeWindowMs }: ScaleOptions,
): Promise<readonly Planned[]> {
  const partitions = await findPartitions(nats, clock, names)
  if (partitions === undefined) {
    throw new NatsRefusedError(`no hub keeps its events there under nats.prefix ${prefix}`, [
      "Name its own with --nats-prefix, and its servers with --engine.",
    ])
  }
  const plans = plannedStreams({ names, partitions, replicas: replicas ?? 1, dedupeWindowMsMax: dedupeWindowMs ?? 0 })
  const found = await Promise.all(plans.map(({ name }) => findStream(nats, clock, name)))
  return plans.flatMap((each, i) => {
    const there = found[i]
    if (there === undefined) return []
    const plan = { ...each, ...kept(each, there.config, { replicas, dedupeWindowMs }) }
    return [{ plan, found: there, steps: differences(plan, there.config) }]
  })
}

/** What was not asked to be changed stays, whatever it is. */
function kept(
  plan: StreamPlan,
  found: StreamPlan,
  { replicas, dedupeWindowMs }: { readonly replicas: number | undefined; readonly dedupeWindowMs: number | undefined },
): Partial<StreamPlan> {
  return {
    ...(replicas === undefined && { num_replicas: found.num_replicas }),
    // The window of a log's stream alone is a setting.
    ...(dedupeWindowMs === undefined && plan.duplicate_window === 0 && { duplicate_window: found.duplicate_window }),
  }
}

async function change(
  nats: NatsConnection,
  clock: Clock,
  { plan, found }: Planned,
  tell: (stream: string) => void,
): Promise<void> {
  try {
    await retryAtStart(clock, () => ask(nats, `STREAM.UPDATE.${plan.name}`, { ...found.config, ...plan }))
  } catch (error) {
    if (!(error instanceof JetStreamError)) throw error
    throw new NatsRefusedError(
      `NATS does not change the stream ${plan.name}: ${error.message}`,
      [
        "Streams before it are changed already. Mend what it says, and run the same again: it goes on from there.",
        `For ${plan.num_replicas} replicas there have to be as many servers with JetStream, and room on each.`,
      ],
      { cause: error },
    )
  }
  tell(plan.name)
}

/** A process that runs believes what it was started with. Throws NatsRefusedError. */
async function refuseRunning(nats: NatsConnection, clock: Clock, names: Names): Promise<void> {
  if (!(await hasLivingProcess(nats, clock, names))) return
  throw new NatsRefusedError("a process of the hub runs", [
    "Stop all of them first: each goes by the settings that it was started with.",
  ])
}

/** Whether a process that routes or delivers shows that it lives; takes as long as it may take to do so. */
export async function hasLivingProcess(nats: NatsConnection, clock: Clock, names: Names): Promise<boolean> {
  const last = async () => (await findStream(nats, clock, bucketStream(names.assignmentsBucket)))?.state.last_seq
  const before = await last()
  await sleep(clock, beatMsMax)
  return (await last()) !== before
}

async function settled(
  nats: NatsConnection,
  clock: Clock,
  planned: readonly Planned[],
  msMax: number,
): Promise<readonly string[]> {
  const until = clock.steady() + msMax
  // Ends: at `until` at the latest.
  for (let left = planned.map(({ plan }) => plan); ; ) {
    const found = await Promise.all(left.map(({ name }) => findStream(nats, clock, name)))
    left = left.filter((plan, i) => !isSettled(plan, found[i]))
    if (left.length === 0 || clock.steady() >= until) return left.map(({ name }) => name)
    await sleep(clock, settledEveryMs)
  }
}

function isSettled({ num_replicas }: StreamPlan, found: StreamFound | undefined): boolean {
  if (found?.cluster?.leader === undefined) return num_replicas === 1
  const current = (found.cluster.replicas ?? []).filter(({ current, offline }) => current && !offline)
  return current.length === num_replicas - 1
}
