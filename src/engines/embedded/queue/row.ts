import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId } from "../../../core/delivery.ts"
import type { Write } from "../store.ts"

/** What the store holds of an open delivery beside its names. */
export interface RowState {
  /** Leases that ended, and count. */
  readonly attempts: number
  /** Attempts from before the last redrive. */
  readonly forgiven: number
  readonly firstDueAt: number
  /** When it is due; of a held delivery, when its holding began. Whole milliseconds. */
  readonly dueAt: number
  readonly held: boolean
}

/*
 * Where an open delivery is in the store:
 *
 *   due      deliveries  <lane> <id>                      the row
 *   parked   parked      =<lane> <id>                     the row
 *            parked      @<due at, 14 digits><lane> <id>  to find it by time
 *   held     parked      =<lane> <id>                     the row
 *            parked      #<tenant>/<trigger> <lane> <id>  to find it by trigger
 *
 * A parked delivery that has come due may stay where it is until it is settled, so a retry costs no write of its own
 * when its time comes; it moves to `deliveries` only where its lane has no room in memory.
 * A lane is `<tenant>/<destination>`; no name holds a space, and an id begins with its event's cursor, so the rows of a
 * lane are next to each other and in log order.
 */

/** Before the id in a lane's keys. */
export const separator = " "
/** The character after the separator: where a lane's keys end. */
export const pastSeparator = "!"

/** The keys of one lane, `<lane> <id>`. */
export function laneKey(lane: string, id: string): string {
  return lane + separator + id
}

/** Takes `<lane> <id>` apart. */
export function splitKey(key: string): { readonly lane: string; readonly id: string } {
  const end = key.indexOf(separator)
  return { lane: key.slice(0, end), id: key.slice(end + 1) }
}

export const parkedPrefix = "="
/** Past the keys of parked and held rows. */
export const pastParked = String.fromCharCode(parkedPrefix.charCodeAt(0) + 1)
export const timePrefix = "@"
const timeDigits = 14
const heldPrefix = "#"
const present = Uint8Array.of(1)

/** The first key of the time index at or after `at`. */
export function timeKey(at: number): string {
  return timePrefix + String(Math.max(0, at)).padStart(timeDigits, "0")
}

/** When the delivery of this key of the time index is due, and which it is. */
export function splitTimeKey(key: string): { readonly dueAt: number; readonly key: string } {
  return { dueAt: Number(key.slice(1, 1 + timeDigits)), key: key.slice(1 + timeDigits) }
}

/** Before the keys of what is held for a trigger. */
export function heldKey(tenant: string, trigger: string): string {
  return `${heldPrefix}${tenant}/${trigger}${separator}`
}

/** Puts a delivery's row where due ones are. */
export function putDue(lane: string, delivery: Delivery, state: RowState): Write {
  return { table: "deliveries", key: laneKey(lane, delivery.id), value: encodeRow(delivery, state) }
}

/** Puts a delivery's row where the parked ones are, and where it is found when its time comes. */
export function putParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: encodeRow(delivery, state) })
  const index = state.held ? heldKey(delivery.tenant, delivery.trigger) : timeKey(state.dueAt)
  writes.push({ table: "parked", key: index + key, value: present })
}

/** Takes a delivery's row away from where it is parked or held. */
export function removeParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: undefined })
  const index = state.held ? heldKey(delivery.tenant, delivery.trigger) : timeKey(state.dueAt)
  writes.push({ table: "parked", key: index + key, value: undefined })
}

const rowBytes = 26
const heldFlag = 1
/** The names do not follow from the key and are kept as JSON after the row. */
const namedFlag = 2
const decoder = new TextDecoder()

/** The row of a delivery; of deliveries whose id follows from cursor and trigger it is equal for equal states. */
export function encodeRow(delivery: Delivery, state: RowState): Uint8Array {
  if (isDerived(delivery)) return encodeState(state, 0)
  const names = Buffer.from(JSON.stringify([delivery.cursor, delivery.trigger]))
  return Buffer.concat([encodeState(state, namedFlag), names])
}

/** Whether the delivery's id says its cursor and trigger. */
export function isDerived({ id, cursor, trigger }: Delivery): boolean {
  return id === deliveryId(cursor, trigger) && id.indexOf(".") === cursor.length
}

function encodeState(state: RowState, flags: number): Uint8Array {
  const bytes = Buffer.alloc(rowBytes)
  bytes[0] = flags | (state.held ? heldFlag : 0)
  bytes.writeDoubleLE(state.firstDueAt, 1)
  bytes.writeDoubleLE(state.dueAt, 9)
  bytes.writeUInt32LE(state.attempts, 17)
  bytes.writeUInt32LE(state.forgiven, 21)
  return bytes
}

/** The inverse of {@link encodeRow}, for a row that was found at `<lane> <id>`. */
export function decodeRow(lane: string, id: string, bytes: Uint8Array): { delivery: Delivery; state: RowState } {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const flags = row[0]!
  const slash = lane.indexOf("/")
  const dot = id.indexOf(".")
  const [cursor, trigger] =
    (flags & namedFlag) === 0
      ? [id.slice(0, dot), id.slice(dot + 1)]
      : (JSON.parse(decoder.decode(row.subarray(rowBytes))) as [string, string])
  return {
    delivery: {
      id,
      tenant: lane.slice(0, slash),
      trigger,
      destination: lane.slice(slash + 1),
      cursor: cursor as Cursor,
    },
    state: {
      attempts: row.readUInt32LE(17),
      forgiven: row.readUInt32LE(21),
      firstDueAt: row.readDoubleLE(1),
      dueAt: row.readDoubleLE(9),
      held: (flags & heldFlag) !== 0,
    },
  }
}
