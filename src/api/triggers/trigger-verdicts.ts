import { parseTopic } from "../../core/address.ts"
import { routedAsKeys, routingKeys, triggerKeys } from "../../core/catalog-keys.ts"
import { itemsUnder } from "../../core/catalog-scan.ts"
import type { Cursor } from "../../core/cursor.ts"
import { isEditFor } from "../../core/edits.ts"
import type { StoredEvent } from "../../core/log.ts"
import { createPace } from "../../core/pace.ts"
import type { Trigger } from "../../core/resources.ts"
import {
  pathOf,
  placeOfTenant,
  type RoutedAs,
  type RoutedVersion,
  type RoutingRecord,
  readerOf,
  versionFor,
} from "../../core/routing.ts"
import type { ApiContext } from "../context.ts"
import { createJudge, type Judge } from "./verdict.ts"

/** Triggers looked at for one event: those of other topics cost little, those of its topic are compiled. */
const scannedMax = 20_000
const judgedMax = 1_000

/** Whether a trigger fires for an event, and why, as the trigger was when it judged the event. */
export interface TriggerVerdict {
  readonly trigger: string
  /** Which trigger of that id. */
  readonly incarnation: string
  /** unknown: how the trigger was then is not kept any more. */
  readonly verdict: "fires" | "waits" | "rejects" | "unknown"
  readonly sentence: string
  readonly clause?: string
  readonly topic: string
  readonly destination: string
  /** Since when the trigger was as it judged, in Unix milliseconds. */
  readonly asOf?: number
  readonly removed?: true
}

/** The verdict of each trigger that the event's topic had, or has; not of all where there are very many. */
export async function triggerVerdictsFor(
  context: ApiContext,
  stored: StoredEvent,
): Promise<{ readonly items: readonly TriggerVerdict[]; readonly complete: boolean }> {
  const { log } = context.engine
  const { tenant } = stored.address
  const partition = log.partitionOf(stored.address)
  const frontiers = createFrontiers(context, partition, tenant)
  const pace = createPace(context.clock)
  const items: TriggerVerdict[] = []
  const met = new Set<string>()
  const take = async (
    id: string,
    of: readonly Pick<Trigger, "topic">[],
    judge: () => Promise<TriggerVerdict | undefined>,
  ) => {
    await pace()
    if (met.has(id) || !of.some((each) => isOn(each, stored))) return true
    if (met.size === judgedMax) return false
    met.add(id)
    const judged = await judge()
    if (judged !== undefined) items.push(isEditFor(stored.event, judged) ? { ...judged, ...edit } : judged)
    return true
  }
  const histories = await scan<RoutedAs>(context, routedAsKeys.ofTenant(tenant), async (id, value) => {
    if ((value.partition ?? 0) !== partition) {
      await pace()
      return true
    }
    return take(id, value.versions, () => verdictOf(context, { tenant, id }, value, stored, frontiers))
  })
  // What the router has not heard of yet.
  const triggers = await scan<Trigger>(context, triggerKeys.ofTenant(tenant), (id, trigger) =>
    take(id, [trigger], () => verdictOfNew(context, trigger, stored)),
  )
  return { items, complete: histories && triggers }
}

/** Goes through what is under a prefix until `visit` answers false; false where that, or the bound, ended it. */
async function scan<Value>(
  { engine }: ApiContext,
  prefix: string,
  visit: (name: string, value: Value) => Promise<boolean>,
): Promise<boolean> {
  let scanned = 0
  for await (const { key, value } of itemsUnder<Value>(engine.catalog, prefix)) {
    if (scanned++ === scannedMax || !(await visit(key.slice(prefix.length), value))) return false
  }
  return true
}

async function verdictOfNew(context: ApiContext, trigger: Trigger, stored: StoredEvent): Promise<TriggerVerdict> {
  const { id, incarnation = "", topic, destination, paused } = trigger
  const { event, address } = stored
  const judge = createJudge({ ...trigger, ...(paused === undefined && { behind: true }) }, context)
  const { verdict, sentence, explanation } = await judge({ event, address, stored })
  const clause = explanation && { clause: explanation.clause }
  return { trigger: id, incarnation, topic, destination, verdict, sentence, ...clause }
}

type Name = Pick<Trigger, "tenant" | "id">

async function verdictOf(
  context: ApiContext,
  name: Name,
  history: RoutedAs,
  stored: StoredEvent,
  frontierOf: Frontiers,
): Promise<TriggerVerdict | undefined> {
  const { log } = context.engine
  const { event, address } = stored
  const { versions, removedAt, shortened } = history
  const version = versionFor(versions, stored.cursor, (a, b) => log.compare(a, b))
  if (version === undefined) {
    const last = versions.at(-1)!
    if (removedAt !== undefined || !isOn(last, stored)) return undefined
    const forgotten = shortened === true && log.compare(stored.cursor, versions[0]!.after) <= 0
    return { ...shown(name, last), ...(forgotten ? unknown : early) }
  }
  if (!isOn(version, stored)) return undefined
  const isLast = version === versions.at(-1) && removedAt === undefined
  const rest = isLast && log.compare(await frontierOf(name, version), stored.cursor) < 0
  const judge: Judge = { ...version, ...(rest && (await restOf(context, name))) }
  const { verdict, sentence, explanation } = await createJudge(judge, context)({ event, address, stored })
  return {
    ...shown(name, version),
    verdict,
    sentence,
    ...(explanation && { clause: explanation.clause }),
    asOf: version.updatedAt,
    ...((removedAt !== undefined || version.incarnation !== versions.at(-1)!.incarnation) && { removed: true }),
  }
}

const edit = {
  verdict: "fires",
  sentence: "The event was redriven in place of a dead letter of this trigger (redcarredrive).",
} as const

const unknown = {
  verdict: "unknown",
  sentence: "The trigger has changed often since: how it was when the event came is not kept any more.",
} as const

const early = {
  verdict: "rejects",
  sentence: "The event was stored before the trigger's start.",
} as const

function shown({ id }: Name, { incarnation = "", topic, destination }: RoutedVersion) {
  return { trigger: id, incarnation, topic, destination }
}

function isOn({ topic }: Pick<Trigger, "topic">, { address }: StoredEvent): boolean {
  const on = parseTopic(topic)
  return typeof on !== "string" && on.topic === address.topic
}

/** Why a trigger has not come to an event yet. */
async function restOf({ engine }: ApiContext, { tenant, id }: Name): Promise<Pick<Judge, "paused" | "behind">> {
  const item = await engine.catalog.get<Trigger>(triggerKeys.of({ tenant, id }))
  return item?.value.paused === undefined ? { behind: true } : { paused: item.value.paused }
}

type Frontiers = (name: Name, version: RoutedVersion) => Promise<Cursor>

/** Up to where each trigger has judged events: as the router's own facts have it, which lag behind it a little. */
function createFrontiers({ engine }: ApiContext, partition: number, tenant: string): Frontiers {
  const { catalog, queue, log } = engine
  const main = placeOfTenant({ engine, partition, tenant })
  // Whoever asks has the error; where nobody does, it is nobody's.
  main.catch(() => {})
  return async (name, version) => {
    const path = pathOf(name)
    const record = (await catalog.get<RoutingRecord>(routingKeys.at(path)))?.value
    if (record?.attachedAfter === undefined)
      return (await queue.position(readerOf(path, version.incarnation))) ?? version.after
    const { cursor: here } = await main
    return here !== undefined && log.compare(here, record.attachedAfter) > 0 ? here : record.attachedAfter
  }
}
