import { type Address, parseTopic } from "../core/address.ts"
import { routedAsKeys } from "../core/catalog-keys.ts"
import type { DeadReason, Delivery } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { DamagedError, InvalidCursorError } from "../core/errors.ts"
import { isEventOf } from "../core/fingerprint.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"
import type { Replay, Trigger } from "../core/resources.ts"
import { type RoutedAs, versionFor } from "../core/routing.ts"

export type Fetched =
  | { readonly kind: "there"; readonly stored: StoredEvent }
  /** It never will be. */
  | { readonly kind: "gone"; readonly reason: DeadReason; readonly detail: string }

/**
 * The event that a delivery is of, or why there is none; `replay` is the one that made it, if any did. Throws UnavailableError,
 * StorageError: what may pass.
 */
export async function eventOf(
  delivery: Delivery,
  { trigger, replay }: { readonly trigger: Trigger; readonly replay?: Replay | undefined },
  engine: Engine,
): Promise<Fetched> {
  const { log } = engine
  const { cursor } = delivery
  try {
    const stored =
      (await log.get(cursor, { recent: true })) ??
      (await keptEvent(delivery, () => topicOf(delivery, trigger, replay, engine), engine))
    if (stored === undefined) return gone("permanent", "is no longer stored: its topic's retention has dropped it")
    if (isEventOf(stored, delivery)) return { kind: "there", stored }
    return gone("damaged", `cannot be sent: the log has another one at ${cursor}, and nothing of that was sent`)
  } catch (error) {
    if (!(error instanceof DamagedError || error instanceof InvalidCursorError)) throw error
    return gone("damaged", `cannot be read: ${error.message}`)
  }
}

function gone(reason: DeadReason, why: string): Fetched {
  return { kind: "gone", reason, detail: `the event ${why}` }
}

/** Throws DamagedError where it should be there. */
async function keptEvent(
  delivery: Delivery,
  topic: () => Promise<Address> | Address,
  engine: Engine,
): Promise<StoredEvent | undefined> {
  if (isNowhere(delivery, engine.log)) return undefined
  return engine.log.get(delivery.cursor, { of: await topic() })
}

/** Before all events: so are deliveries that came from another engine when their event was gone already. */
function isNowhere({ cursor }: Delivery, log: EventLog): boolean {
  return Array.from({ length: log.partitions }, (_, partition) => log.oldest(partition)).includes(cursor)
}

/** The topic that the event is on. A replay says it. */
function topicOf(
  delivery: Delivery,
  trigger: Trigger,
  replay: Replay | undefined,
  engine: Engine,
): Promise<Address> | Address {
  return replay === undefined ? judgedOn(delivery, trigger, engine) : addressOf(replay)
}

/** The topic that the event is on: the trigger listened to it then, and may listen to another one now. */
async function judgedOn({ tenant, cursor }: Delivery, trigger: Trigger, { catalog, log }: Engine): Promise<Address> {
  const kept = (await catalog.get<RoutedAs>(routedAsKeys.of(trigger)))?.value
  const version = versionFor(kept?.versions ?? [], cursor, (a, b) => log.compare(a, b))
  const { topic } = version && version.incarnation === trigger.incarnation ? version : trigger
  return addressOf({ tenant, topic })
}

/** Where a trigger listens: the nearest there is to the address of an event that is gone. */
export function addressOf({ tenant, topic }: Pick<Trigger, "tenant" | "topic">): Address {
  const parsed = parseTopic(topic)
  return { tenant, ...(typeof parsed === "string" ? { topic } : parsed) }
}
