import { triggerKeys } from "../core/catalog-keys.ts"
import { scanFor } from "../core/catalog-scan.ts"
import { lanesOf } from "../core/delivery.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import { tellPaused } from "../deliver/telling.ts"
import type { ResourceContext } from "./context.ts"
import { putUnlessChanged } from "./store.ts"
import { names } from "./topics.ts"

/** Open deliveries that are looked through for the triggers that they are of, and how many are asked for at once. */
const lookedThrough = 5_000
const pageMax = 1_000
/** How often a trigger is read again because another change of it came first. */
const triesMax = 8

/** What needs a destination. */
export interface Owed {
  /** Those that send to it. */
  readonly triggers: readonly Trigger[]
  /** Open deliveries to it. */
  readonly open: number
  /** The triggers that they are of, as far as was looked; those that send elsewhere by now are among them. */
  readonly of: readonly string[]
}

/** What became of it when a destination that is needed was deleted all the same. */
export interface Forced extends Readonly<Record<string, unknown>> {
  /** The destination. */
  readonly id: string
  readonly pausedTriggers: readonly string[]
  readonly openDeliveries: number
  readonly openTriggers: readonly string[]
}

/** Who needs the destination. */
export async function owedTo(context: ResourceContext, { tenant, id }: Destination): Promise<Owed> {
  const { queue } = context.engine
  const prefix = triggerKeys.ofTenant(tenant)
  const triggers = await scanFor<Trigger>(context, prefix, ({ destination }) => destination === id)
  const depths = await Promise.all(lanesOf({ tenant, destination: id }).map((lane) => queue.depth(lane)))
  const open = depths.reduce((sum, depth) => sum + depth, 0)
  const of = new Set<string>()
  let [seen, after] = [0, undefined as string | undefined]
  while (seen < Math.min(open, lookedThrough)) {
    const asked = { tenant, destination: id, limit: pageMax, ...(after !== undefined && { after }) }
    const page = await queue.openDeliveries(asked)
    for (const { delivery } of page.deliveries) of.add(delivery.trigger)
    seen += page.deliveries.length
    if (page.next === undefined) break
    after = page.next
  }
  return { triggers, open, of: [...of].sort() }
}

/** Why the destination cannot be deleted; undefined when it can. */
export function refusalFor({ id }: Destination, { triggers, open, of }: Owed): string | undefined {
  const reasons: string[] = []
  if (triggers.length > 0) reasons.push(`is used by ${names(triggers)}`)
  const shown = `${of.slice(0, 5).join(", ")}${of.length > 5 ? ` and ${of.length - 5} more` : ""}`
  const deliveries = open === 1 ? "1 open delivery" : `${open} open deliveries`
  if (open > 0) reasons.push(`is owed ${deliveries}${of.length > 0 ? ` of trigger ${shown}` : ""}`)
  if (reasons.length === 0) return undefined
  return (
    `destination ${id} ${reasons.join(", and ")}; delete or change the triggers first (backlog "move" brings along what they ` +
    "owe), or delete it with force=true: then they are paused, and what other triggers owe it becomes dead letters"
  )
}

/** Pauses what sends to the destination, which is about to be deleted, unless it is a `dryRun`; answers what is to be told of it. */
export async function force(
  context: ResourceContext,
  { id }: Destination,
  owed: Owed,
  dryRun: boolean,
): Promise<Forced> {
  for (const trigger of dryRun ? [] : owed.triggers) await pauseFor(context, trigger, id)
  const pausedTriggers = owed.triggers.map((trigger) => trigger.id)
  return { id, pausedTriggers, openDeliveries: owed.open, openTriggers: [...owed.of] }
}

/** Where others keep changing it, the first delivery that finds no destination pauses it. */
async function pauseFor(
  { engine, clock, log }: ResourceContext,
  { tenant, id }: Trigger,
  destination: string,
): Promise<void> {
  for (let tries = 0; tries < triesMax; tries++) {
    const item = await engine.catalog.get<Trigger>(triggerKeys.of({ tenant, id }))
    if (item === undefined || item.value.destination !== destination || item.value.paused) return
    const now = clock.now()
    const paused = { since: now, reason: `${destination} is gone: it was deleted` }
    if ((await putUnlessChanged(engine.catalog, item, { ...item.value, updatedAt: now, paused })) === undefined)
      continue
    if (log !== undefined) tellPaused(log, { tenant, trigger: id, destination }, paused.reason)
    return
  }
}
