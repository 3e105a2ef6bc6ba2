import type { Address } from "../core/address.ts"
import { isReservedTopic, parseTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { delayedDestination, delayedTopic } from "../core/delayed.ts"
import { type DeadLetter, type Delivery, deliveryId } from "../core/delivery.ts"
import { type Attributes, Event } from "../core/event.ts"
import type { EventLog, StoredEvent } from "../core/log.ts"
import type { Carried } from "../core/transfer.ts"
import type { CursorMap } from "./cursor-map.ts"

/** An event as it is to be in the target. */
export interface Translated {
  readonly address: Address
  readonly event: Event
}

/**
 * Says of each thing that names places in the source's log what it is in the target.
 *
 * Where an event is gone that a delivery is of, the delivery names a place that holds none, the oldest, and its id ends in
 * the cursor that it had: so that ids still differ, and the delivery ends as it would have.
 */
export class Translator {
  readonly #target: EventLog
  readonly #map: CursorMap
  /** What topic a trigger listens to, by `<tenant>/<trigger>`. */
  readonly #topics: ReadonlyMap<string, string>

  constructor(target: EventLog, map: CursorMap, topics: ReadonlyMap<string, string> = new Map()) {
    this.#target = target
    this.#map = map
    this.#topics = topics
  }

  /**
   * The hub's own records of attempts and dead letters are keyed by the event's cursor, and name its delivery: in id, subject
   * and data. All that follows the event to where it is now, so that its history is found. Other events stay as they are.
   */
  record(stored: StoredEvent): Translated {
    const { address, event } = stored
    if (!isReservedTopic(address.topic) || address.key === undefined) return { address, event }
    const data = jsonOf(event)
    const told = typeof data?.topic === "string" ? data.topic : (data?.address as Address | undefined)?.topic
    const place = { tenant: address.tenant, topic: told ?? address.topic }
    const old = address.key as Cursor
    if (this.#map.partitionOf(old) === undefined) return { address, event }
    const now = this.#place(old, place)
    const rename = this.#renaming(renamedIn(event, data), old, now)
    return {
      address: { ...address, key: now.cursor },
      event: Event.of(
        renamed(event.attributes, rename),
        this.#recordData(event, data, now.cursor, rename),
        event.dataKind,
      ),
    }
  }

  #recordData(
    event: Event,
    data: Readonly<Record<string, unknown>> | undefined,
    cursor: Cursor,
    rename: (text: string) => string,
  ): Uint8Array | undefined {
    if (data === undefined) return event.data
    const said = { ...data }
    if (typeof data.cursor === "string") said.cursor = cursor
    for (const name of ["id", "delivery"]) {
      const id = data[name]
      if (typeof id === "string") said[name] = rename(id)
    }
    if (isAddress(data.address)) said.address = this.#address(data.address)
    return Buffer.from(JSON.stringify(said))
  }

  carried(item: Carried): Carried {
    if (item.kind === "dead") return { ...item, letter: this.#letter(item.letter) }
    return {
      ...item,
      delivery: this.#delivery(item.delivery, this.#listening(item.delivery)),
      dueAt: Math.ceil(item.dueAt),
    }
  }

  #letter(letter: DeadLetter): DeadLetter {
    return { ...this.#delivery(letter, letter.address), address: this.#address(letter.address) }
  }

  #delivery<D extends Delivery>(delivery: D, place: { readonly tenant: string; readonly topic: string }): D {
    const now = this.#place(delivery.cursor, place)
    return { ...delivery, cursor: now.cursor, id: this.#renaming(delivery, delivery.cursor, now)(delivery.id) }
  }

  /** What a delivery's trigger listens to; of one that was deleted, nobody knows any more. */
  #listening({ tenant, trigger, destination }: Delivery): { readonly tenant: string; readonly topic: string } {
    if (destination === delayedDestination) return { tenant, topic: delayedTopic }
    const parsed = parseTopic(this.#topics.get(`${tenant}/${trigger}`) ?? "")
    return { tenant, topic: typeof parsed === "string" ? "" : parsed.topic }
  }

  /** An address whose key is a cursor: one of the hub's own topics. */
  #address(address: Address): Address {
    if (!isReservedTopic(address.topic) || address.key === undefined) return address
    const key = this.#map.exact(address.key as Cursor)
    return key === undefined ? address : { ...address, key }
  }

  #place(old: Cursor, place: { readonly tenant: string; readonly topic: string }): Place {
    const partition = this.#target.partitionOf(place)
    const cursor = this.#map.exact(old, partition)
    return cursor === undefined ? { cursor: this.#target.oldest(partition), gone: true } : { cursor, gone: false }
  }

  /** How texts that begin with the delivery's id begin now. */
  #renaming({ id, trigger, incarnation }: Renamed, old: Cursor, now: Place): (text: string) => string {
    if (!id.startsWith(`${old}.`)) return (text) => text
    const rest = id.slice(old.length)
    // It may have been moved before, and be gone since then: it ends in a cursor already.
    const isMarked = rest !== deliveryId("" as Cursor, trigger, incarnation)
    const renamedId = `${now.cursor}${rest}${now.gone && !isMarked ? `.${old}` : ""}`
    return (text) => (text === id || text.startsWith(`${id}.`) ? renamedId + text.slice(id.length) : text)
  }
}

/** Of a delivery, what its new id is made of. */
type Renamed = Pick<Delivery, "id" | "trigger" | "incarnation">

/** The delivery that a record tells of. */
function renamedIn(event: Event, data: Readonly<Record<string, unknown>> | undefined): Renamed {
  const [id = "", trigger = "", incarnation = ""] = [
    [data?.delivery, data?.id, event.attribute("subject")],
    [data?.trigger],
    [data?.incarnation],
  ].map((said) => said.find((text) => typeof text === "string"))
  return { id, trigger, incarnation }
}

interface Place {
  readonly cursor: Cursor
  /** The event is not there any more. */
  readonly gone: boolean
}

function renamed(attributes: Attributes, rename: (text: string) => string): Attributes {
  const changed: Record<string, string | number | boolean> = { ...attributes }
  for (const name of ["id", "subject"]) {
    const value = attributes[name]
    if (typeof value === "string") changed[name] = rename(value)
  }
  return changed
}

function jsonOf(event: Event): Readonly<Record<string, unknown>> | undefined {
  if (event.dataKind !== "json" || event.data === undefined) return undefined
  const value: unknown = JSON.parse(Buffer.from(event.data).toString("utf8"))
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined
}

function isAddress(value: unknown): value is Address {
  return typeof value === "object" && value !== null && "topic" in value
}
