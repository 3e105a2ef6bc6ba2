import type { Item } from "../core/catalog.ts"
import { subscriptionKeys, subscriptionPositionKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { ConflictError } from "../core/errors.ts"
import type { Subscription, SubscriptionPosition } from "../core/subscriptions.ts"
import type { ResourceContext } from "./context.ts"
import { createFaults } from "./faults.ts"
import { type FieldFault, RefusedError } from "./refusal.ts"
import { cursorFault, partitionOf, type Start } from "./start.ts"
import { mayBeId } from "./store.ts"
import { firstPosition, placeIn } from "./subscriptions.ts"

/** How often a move begins anew because another one came first, before it gives up. */
const triesMax = 8

/** A position as whoever read from it knows it. */
export type Expected = Pick<SubscriptionPosition, "cursor" | "epoch">

/** A subscription, and where it stands. */
export interface Standing {
  readonly subscription: Subscription
  readonly position: SubscriptionPosition
}

interface Found {
  readonly subscription: Item<Subscription>
  readonly position: Item<SubscriptionPosition>
}

/** A subscription as whoever stores it has it now. Throws RefusedError where there is none. */
export async function findStanding(context: ResourceContext, tenant: string, id: string): Promise<Standing> {
  const { subscription, position } = await find(context, tenant, id)
  return { subscription: subscription.value, position: position.value }
}

/** Where it stands, as this process knows it. */
export async function positionOf(
  { engine }: ResourceContext,
  subscription: Subscription,
): Promise<SubscriptionPosition> {
  const item = await engine.catalog.get<SubscriptionPosition>(subscriptionPositionKeys.of(subscription))
  return itsOwn(item?.value, subscription)
}

/** One that was made a moment ago stands at its start; so does one whose position is lost. */
function itsOwn(position: SubscriptionPosition | undefined, subscription: Subscription): SubscriptionPosition {
  return position?.incarnation === subscription.incarnation ? position : firstPosition(subscription)
}

async function find({ engine: { catalog } }: ResourceContext, tenant: string, id: string): Promise<Found> {
  const absent = new RefusedError("not-found", `there is no subscription ${JSON.stringify(id)}`, {
    about: "subscriptions",
  })
  if (!mayBeId(id)) throw absent
  const [key, ofPosition] = [subscriptionKeys.of({ tenant, id }), subscriptionPositionKeys.of({ tenant, id })]
  // In this order: a position that is of another one is of an earlier one.
  const position = await catalog.get<SubscriptionPosition>(ofPosition, { newest: true })
  const subscription = await catalog.get<Subscription>(key, { newest: true })
  if (subscription === undefined) throw absent
  const value = itsOwn(position?.value, subscription.value)
  return { subscription, position: { key: ofPosition, revision: position?.revision ?? 0, value } }
}

/**
 * Says that all up to a cursor is dealt with. Where `expected` is there, only if that is where the subscription stands; it is so
 * too where it stands at the cursor already, by an equal commit. Throws RefusedError: a commit moves nothing back.
 */
export function commit(
  context: ResourceContext,
  named: { readonly tenant: string; readonly id: string },
  wanted: { readonly cursor: Cursor; readonly expected?: Expected | undefined },
): Promise<SubscriptionPosition> {
  const { log } = context.engine
  return move(context, named, async ({ subscription, position }) => {
    const { cursor, expected } = wanted
    const head = await log.head(partitionOf(context, subscription))
    const fault = cursorFault(log, cursor, head)
    if (fault !== undefined) refuse("invalid", { field: "cursor", message: fault })
    if (expected !== undefined && expected.epoch !== position.epoch)
      refuse("precondition-failed", { field: "expected.epoch", message: `is over: ${standsAt(position)}` })
    const order = log.compare(cursor, position.cursor)
    if (order === 0) return undefined
    if (expected !== undefined && expected.cursor !== position.cursor)
      refuse("precondition-failed", { field: "expected.cursor", message: `is not where it is: ${standsAt(position)}` })
    if (order < 0) {
      const message = `is before where it stands, and a commit moves nothing back (a reset does): ${standsAt(position)}`
      refuse("conflict", { field: "cursor", message })
    }
    return { cursor, epoch: position.epoch }
  })
}

/** Moves it back or forward. What was read before is not committed any more by who says what it expects. */
export function reset(
  context: ResourceContext,
  named: { readonly tenant: string; readonly id: string },
  wanted: { readonly to: Start; readonly expected?: Expected | undefined },
): Promise<SubscriptionPosition> {
  return move(context, named, async ({ subscription, position }) => {
    const { to, expected } = wanted
    const { cursor, epoch } = position
    if (expected !== undefined && (expected.epoch !== epoch || expected.cursor !== cursor))
      refuse("precondition-failed", { field: "expected", message: `is not where it is: ${standsAt(position)}` })
    const faults = createFaults()
    const place = await placeIn(context, subscription, to, { field: "to", faults })
    faults.refuse()
    return { cursor: place, epoch: epoch + 1 }
  })
}

/** Tries a move until none came before it; `next` answers undefined where it is there already. */
async function move(
  context: ResourceContext,
  { tenant, id }: { readonly tenant: string; readonly id: string },
  next: (standing: Standing) => Promise<Expected | undefined>,
): Promise<SubscriptionPosition> {
  const { catalog } = context.engine
  for (let tries = 0; tries < triesMax; tries++) {
    const { subscription, position } = await find(context, tenant, id)
    const to = await next({ subscription: subscription.value, position: position.value })
    if (to === undefined) return position.value
    const value: SubscriptionPosition = { ...position.value, ...to, movedAt: context.clock.now() }
    try {
      // Only while the subscription is as it was found: one that was deleted leaves no position behind.
      const unchanged = { key: subscription.key, expected: subscription.revision }
      await catalog.change([{ key: position.key, value, expected: position.revision }], [unchanged])
      return value
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  throw new RefusedError("conflict", `others keep moving subscription ${id}; try again`)
}

function standsAt({ cursor, epoch }: SubscriptionPosition): string {
  return `the subscription stands at ${cursor} of epoch ${epoch}`
}

function refuse(kind: "invalid" | "conflict" | "precondition-failed", fault: FieldFault): never {
  throw new RefusedError(kind, `${fault.field} ${fault.message}`, { faults: [fault] })
}
