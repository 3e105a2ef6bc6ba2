import type { StoredEvent } from "../src/core/log.ts"
import type { Trigger } from "../src/core/resources.ts"
import { createNaiveMatcher } from "../src/match/naive.ts"
import type { RunRecord, TriggerRecord, TriggerVersion } from "./record.ts"

/** A version as it was asked for at `askedAt`. */
export function versionOf(trigger: Trigger, askedAt: number): TriggerVersion {
  const matcher = createNaiveMatcher()
  matcher.set(trigger)
  return { trigger, matcher, askedAt }
}

/** Whether one version of a trigger takes an event, as the naive matcher sees it. Cursors of one log sort as text. */
function fires({ trigger, matcher }: TriggerVersion, stored: StoredEvent): boolean {
  return stored.cursor > trigger.from && matcher.match(stored).length > 0
}

/** A change of a trigger holds for what is stored this long after the change was acknowledged, or later. */
const lagMs = 1_000

/** Whether any version that may have been in force when the event was routed takes it. */
export function firesMaybe(run: RunRecord, record: TriggerRecord, stored: StoredEvent): boolean {
  return candidates(run, record, stored.storedAt).some((version) => fires(version, stored))
}

/** Whether the trigger owes this event for sure: every version that may have been in force when it was routed takes it. */
export function firesSurely(run: RunRecord, record: TriggerRecord, stored: StoredEvent): boolean {
  if (record.deletionAt !== undefined || !record.versions.some(({ acknowledgedAt }) => acknowledgedAt !== undefined)) {
    return false
  }
  return candidates(run, record, stored.storedAt).every((version) => fires(version, stored))
}

/** Events are routed when they are stored or later: the version that held for sure by then, and all after it. */
function candidates(run: RunRecord, { versions }: TriggerRecord, storedAt: number): readonly TriggerVersion[] {
  const holds = ({ acknowledgedAt }: TriggerVersion) =>
    acknowledgedAt !== undefined && run.smooth(acknowledgedAt) + lagMs < run.smooth(storedAt)
  return versions.slice(Math.max(0, versions.findLastIndex(holds)))
}
