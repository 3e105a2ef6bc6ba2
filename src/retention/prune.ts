import type { Engine } from "../core/engine.ts"
import type { Trimmable } from "../core/log.ts"
import type { Retention, RetentionLimits, Topic } from "../core/resources.ts"
import type { Held, Needs } from "./needed.ts"
import { applyRule, type RuleContext, type RuleOptions, type RuleOverdue, RuleProgress } from "./rules.ts"

/** What of a topic is over its limits. */
export interface Overdue {
  /** What goes. */
  readonly goes: Trimmable
  /** What is over as well, and stays because somebody is owed it. */
  readonly stays: Pick<Trimmable, "events" | "bytes" | "oldestAt">
  /** For whom the oldest of that stays. */
  readonly held?: Held
}

type Context = Pick<Engine, "log">

/** What of a topic is over by its rules, beside what is over its limits. */
export interface OverdueByRules {
  /** By each rule, what those before it have not had go. */
  readonly rules: readonly RuleOverdue[]
  /** For whom the oldest of that stays, what stays, and what goes. */
  readonly held?: Held
  readonly stays: number
  readonly goes: number
}

/** Where each rule of a topic has come to, in the round before. Lost, the topic is read once more. */
export class RuleMemory {
  /** By topic's path. */
  #known = new Map<string, { readonly rules: string; readonly progress: readonly RuleProgress[] }>()
  #seen = new Set<string>()

  of(log: Engine["log"], { tenant, id, createdAt, retention }: Topic): readonly RuleProgress[] {
    const path = `${tenant}/${id}`
    const rules = JSON.stringify([createdAt, retention])
    const known = this.#known.get(path)
    const progress = known?.rules === rules ? known.progress : anew(log, { tenant, topic: id }, retention)
    this.#known.set(path, { rules, progress })
    this.#seen.add(path)
    return progress
  }

  /** Every topic was seen; what was not is gone. */
  roundEnds(): void {
    for (const path of this.#known.keys()) if (!this.#seen.has(path)) this.#known.delete(path)
    this.#seen = new Set()
  }
}

function anew(
  log: Engine["log"],
  address: { readonly tenant: string; readonly topic: string },
  { rules = [] }: Retention,
): readonly RuleProgress[] {
  return rules.map(() => new RuleProgress(log.oldest(log.partitionOf(address))))
}

/** Drops what of a topic is over by its rules. Throws what the engine throws. */
export async function dropByRules(
  context: RuleContext,
  topic: Topic,
  needs: Needs,
  memory: RuleMemory = new RuleMemory(),
): Promise<OverdueByRules> {
  // What was begun before, and failed.
  await context.log.drop({ tenant: topic.tenant, topic: topic.id }, [])
  return byRules(context, { topic, needs, progress: memory.of(context.log, topic) })
}

/** Answers what of a topic is over by the rules of `retention` and goes not with what is over its limits; drops nothing. */
export function overdueByRules(
  context: RuleContext,
  topic: Topic,
  needs: Needs,
  { goes }: Pick<Overdue, "goes">,
): Promise<OverdueByRules> {
  const { log } = context
  const first = goes.last ?? log.oldest(log.partitionOf({ tenant: topic.tenant, topic: topic.id }))
  const progress = (topic.retention.rules ?? []).map(() => new RuleProgress(first))
  return byRules(context, { topic, needs, progress, tried: new Set() })
}

interface ByRules extends Pick<RuleOptions, "topic" | "tried"> {
  readonly needs: Needs
  readonly progress: readonly RuleProgress[]
}

async function byRules(context: RuleContext, { topic, needs, progress, tried }: ByRules): Promise<OverdueByRules> {
  const { log } = context
  const { retention, tenant, id } = topic
  // What comes from here on, somebody may be owed of whom was not asked.
  const until = await log.head(log.partitionOf({ tenant, topic: id }))
  let asked: Promise<Held | undefined> | undefined
  const held = async () => {
    if (retention.dropUndelivered) return undefined
    asked ??= needs.of(topic, until)
    return asked
  }
  const rules: RuleOverdue[] = []
  for (const [i, rule] of (retention.rules ?? []).entries()) {
    const options = { topic, rule, progress: progress[i]!, until, needs: held, ...(tried !== undefined && { tried }) }
    rules.push(await applyRule(context, options))
  }
  const holding = rules.find(({ stays }) => stays.events > 0)?.held
  return {
    rules,
    ...(holding !== undefined && { held: holding }),
    stays: rules.reduce((sum, { stays }) => sum + stays.events, 0),
    goes: rules.reduce((sum, { goes }) => sum + goes.events, 0),
  }
}

/** Answers what of a topic is over by what `retention` says, and drops nothing. Throws what the engine throws. */
export async function overdueOf({ log }: Context, topic: Topic, retention: Retention, needs: Needs): Promise<Overdue> {
  const address = { tenant: topic.tenant, topic: topic.id }
  const limits = limitsOf(retention)
  const over = await log.trimmable(address, limits)
  const held =
    over.last === undefined || retention.dropUndelivered
      ? undefined
      : await needs.of({ ...topic, retention }, over.last)
  if (held === undefined) return { goes: over, stays: none }
  const goes = await log.trimmable(address, limits, held.needed)
  if (goes.events >= over.events) return { goes, stays: none }
  const oldestAt = goes.newestAt ?? over.oldestAt
  const stays = { events: over.events - goes.events, bytes: over.bytes - goes.bytes }
  return { goes, stays: { ...stays, ...(oldestAt !== undefined && { oldestAt }) }, held }
}

/** Drops what of a topic was found to go; answers how many events went. Throws what the engine throws. */
export function drop({ log }: Context, { tenant, id, retention }: Topic, { held }: Overdue): Promise<number> {
  return log.trim({ tenant, topic: id }, limitsOf(retention), held?.needed)
}

const none = { events: 0, bytes: 0 }

function limitsOf({ ageMaxMs, eventsMax, bytesMax }: Retention): RetentionLimits {
  return {
    ...(ageMaxMs !== undefined && { ageMaxMs }),
    ...(eventsMax !== undefined && { eventsMax }),
    ...(bytesMax !== undefined && { bytesMax }),
  }
}
