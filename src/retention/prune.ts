import type { Engine } from "../core/engine.ts"
import type { Trimmable } from "../core/log.ts"
import type { Retention, RetentionLimits, Topic } from "../core/resources.ts"
import type { Held, Needs } from "./needed.ts"

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
