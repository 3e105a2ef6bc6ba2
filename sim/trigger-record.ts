import type { Cursor } from "../src/core/cursor.ts"
import type { Trigger } from "../src/core/resources.ts"
import { isFaulty, parseRetry } from "../src/deliver/policies.ts"
import type { Change, Settle } from "./change.ts"
import type { Fields, ResourceModel } from "./model.ts"
import { InvariantError, type TriggerRecord } from "./record.ts"
import { versionOf } from "./triggers.ts"
import type { World } from "./world.ts"

/** Notes that a trigger is asked to be made, changed or deleted; the answer takes what came of it. */
export function changeTriggerRecord(world: World, model: ResourceModel, kind: Change["kind"], after?: Fields): Settle {
  const { record } = world
  if (kind === "create") return after === undefined ? () => {} : make(world, model, after)
  const trigger = record.triggersOf(model).at(-1)
  if (trigger === undefined) return () => {}
  if (kind === "delete") return remove(world, trigger)
  return after === undefined ? () => {} : alter(world, model, trigger, after)
}

function make(world: World, model: ResourceModel, after: Fields): Settle {
  const { record } = world
  // Where it starts, and which of its id it is, the hub decides.
  const trigger: TriggerRecord = { tenant: model.tenant, id: model.id, versions: [] }
  const settle = alter(world, model, trigger, after)
  record.triggers.push(trigger)
  return (made, shown) => {
    settle(made, shown)
    if (!made) record.triggers.splice(record.triggers.indexOf(trigger), 1)
    else name(world, trigger, (shown?.stored as Trigger | undefined)?.incarnation)
  }
}

/** 7: a trigger that is made anew under an id is another one. */
function name({ record, violate }: World, trigger: TriggerRecord, incarnation: string | undefined): void {
  const before = record.triggersOf(trigger).find((each) => each !== trigger && each.incarnation === incarnation)
  trigger.incarnation = incarnation
  if (!before || incarnation === undefined) return
  violate(
    new InvariantError(7, `trigger ${trigger.tenant}/${trigger.id} was made anew as the one before, ${incarnation}`),
  )
}

function alter({ clock }: World, model: ResourceModel, { versions }: TriggerRecord, after: Fields): Settle {
  const asked = versionOf(triggerOf(model, after, versions.at(-1)?.trigger.from), clock.now())
  versions.push(asked)
  return (made, shown) => {
    const known = {
      ...versionOf((shown?.stored as Trigger) ?? asked.trigger, asked.askedAt),
      acknowledgedAt: clock.now(),
    }
    versions.splice(versions.indexOf(asked), 1, ...(made ? [known] : []))
  }
}

function remove({ clock }: World, trigger: TriggerRecord): Settle {
  trigger.deletionAt = clock.now()
  return (made) => {
    if (made) trigger.deletedAt = clock.now()
    else delete trigger.deletionAt
  }
}

/** As it was asked for. */
function triggerOf({ tenant, id }: ResourceModel, fields: Fields, from = "" as Cursor): Trigger {
  const retry = parseRetry(fields.retry)
  if (isFaulty(retry)) throw new TypeError(JSON.stringify(retry))
  const { topic, filters, destination } = fields as unknown as Pick<Trigger, "topic" | "filters" | "destination">
  return { id, tenant, createdAt: 0, updatedAt: 0, labels: {}, topic, filters, destination, retry, from }
}
