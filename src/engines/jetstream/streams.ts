import { isDeepStrictEqual } from "node:util"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../core/clock.ts"
import { NatsRefusedError } from "./connection.ts"
import { nanosPerMs, type StreamPlan } from "./plans.ts"
import { reasons } from "./reasons.ts"
import { JetStreamError } from "./request.ts"
import { askAtStart } from "./start-requests.ts"

/** A stream as the servers have it. */
export interface StreamFound {
  readonly config: StreamPlan
  readonly state: { readonly messages: number; readonly last_seq: number }
  readonly cluster?: ClusterFound
}

/** Where a stream's copies are. */
export interface ClusterFound {
  readonly leader?: string
  readonly replicas?: readonly ReplicaFound[]
}

export interface ReplicaFound {
  readonly name: string
  readonly current?: boolean
  readonly offline?: boolean
}

/** A setting in which a stream is not as planned. */
export interface Difference {
  readonly stream: string
  /** As JetStream's API names it. */
  readonly setting: string
  readonly planned: unknown
  readonly found: unknown
}

/**
 * Makes a stream where it is missing. One that is there stays as it is: throws NatsRefusedError where that is not as planned,
 * and where the servers do not make it.
 */
export async function ensureStream(nats: NatsConnection, clock: Clock, plan: StreamPlan): Promise<void> {
  const found = await findStream(nats, clock, plan.name)
  if (found !== undefined) return refuseDifferences(differences(plan, found.config))
  try {
    await askAtStart(nats, clock, `STREAM.CREATE.${plan.name}`, plan)
  } catch (error) {
    if (!(error instanceof JetStreamError)) throw error
    // Another process was first; or it is there after all.
    const there = error.code === reasons.nameInUse ? await findStream(nats, clock, plan.name) : undefined
    if (there === undefined) throw notMade(plan, error)
    refuseDifferences(differences(plan, there.config))
  }
}

/** Throws NatsRefusedError, which names all differences, where streams are there that are not as planned. Changes nothing. */
export async function refuseOtherStreams(
  nats: NatsConnection,
  clock: Clock,
  plans: readonly StreamPlan[],
): Promise<void> {
  const found = await Promise.all(plans.map(({ name }) => findStream(nats, clock, name)))
  refuseDifferences(plans.flatMap((plan, i) => (found[i] === undefined ? [] : differences(plan, found[i].config))))
}

/** Undefined where there is none. Throws JetStreamError and NoAnswerError. */
export async function findStream(nats: NatsConnection, clock: Clock, name: string): Promise<StreamFound | undefined> {
  try {
    return await askAtStart<StreamFound>(nats, clock, `STREAM.INFO.${name}`)
  } catch (error) {
    if (error instanceof JetStreamError && error.code === reasons.noStream) return undefined
    throw error
  }
}

/** In what a stream that is there is not as planned. */
export function differences(plan: StreamPlan, found: StreamPlan): readonly Difference[] {
  return Object.entries(plan)
    .filter(([setting, planned]) => !isDeepStrictEqual(planned, found[setting] ?? unset(planned)))
    .map(([setting, planned]) => ({ stream: plan.name, setting, planned, found: found[setting] }))
}

/** What the API leaves out. */
function unset(planned: unknown): unknown {
  return typeof planned === "boolean" ? false : undefined
}

function refuseDifferences(found: readonly Difference[]): void {
  if (found.length === 0) return
  const settings = [...new Set(found.map(({ setting }) => setting))]
  const lines = settings.map((setting) => lineOf(found.filter((each) => each.setting === setting)))
  throw new NatsRefusedError(`NATS has streams that are not as the settings say, and they stay as they are: ${lines}`, [
    ...settings.flatMap((setting) => sayingWhatIs(found.find((each) => each.setting === setting)!)),
    `Or change the streams on purpose, with all of the hub's processes stopped: redcar nats scale${scaleFlags(found)}`,
  ])
}

function lineOf(found: readonly Difference[]): string {
  const [{ stream, setting, planned, found: actual }] = found as readonly [Difference]
  const more = found.length > 1 ? ` and ${found.length - 1} more` : ""
  return `${setting} of ${stream}${more} is ${shown(setting, actual)}, not ${shown(setting, planned)}`
}

/** How a setting's value is told to people. */
export function shown(setting: string, value: unknown): string {
  if (setting === "duplicate_window" || setting === "max_age") return durationOf(value)
  return value === undefined ? "not set" : typeof value === "string" ? value : JSON.stringify(value)
}

function durationOf(nanos: unknown): string {
  const seconds = Number(nanos) / nanosPerMs / 1_000
  return Number.isInteger(seconds) ? `${seconds}s` : `${seconds * 1_000}ms`
}

function sayingWhatIs({ setting, found, stream, planned }: Difference): readonly string[] {
  if (setting === "num_replicas") return [`Set nats.replicas to what is there: --nats-replicas ${found}`]
  if (setting === "duplicate_window" && isWindowOfLog(stream, planned))
    return [`Set nats.dedupeWindow to what is there: --nats-dedupe-window ${durationOf(found)}`]
  return []
}

function scaleFlags(found: readonly Difference[]): string {
  const replicas = found.find(({ setting }) => setting === "num_replicas")
  const window = found.find(
    ({ setting, stream, planned }) => setting === "duplicate_window" && isWindowOfLog(stream, planned),
  )
  return [
    replicas === undefined ? "" : ` --nats-replicas ${replicas.planned}`,
    window === undefined ? "" : ` --nats-dedupe-window ${durationOf(window.planned)}`,
  ].join("")
}

function isWindowOfLog(stream: string, planned: unknown): boolean {
  return /_LOG_\d+$/.test(stream) && typeof planned === "number"
}

function notMade(plan: StreamPlan, error: JetStreamError): NatsRefusedError {
  const next =
    error.code === reasons.noSuitablePeers
      ? `nats.replicas is ${plan.num_replicas}: have at least as many servers with JetStream in the cluster, and room on each.`
      : "Look at the servers' log, and at the limits of the hub's account."
  return new NatsRefusedError(`NATS does not make the stream ${plan.name}: ${error.message}`, [next], { cause: error })
}
