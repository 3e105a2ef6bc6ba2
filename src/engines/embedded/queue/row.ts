import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId, partsOfLane } from "../../../core/delivery.ts"
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
 *            parked      #<tenant>/<trigger>[.<incarnation>] <lane> <id>
 *                                                         to find it by trigger
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
/** Past the keys of the time index. */
export const pastTime = String.fromCharCode(timePrefix.charCodeAt(0) + 1)
const timeDigits = 14
export const heldPrefix = "#"
/** Past the keys by which held rows are found. */
export const pastHeld = String.fromCharCode(heldPrefix.charCodeAt(0) + 1)
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
export function heldKey({
  tenant,
  trigger,
  incarnation,
}: Pick<Delivery, "tenant" | "trigger" | "incarnation">): string {
  return `${heldPrefix}${tenant}/${trigger}${incarnation === "" ? "" : `.${incarnation}`}${separator}`
}

/** Puts a delivery's row where due ones are. */
export function putDue(lane: string, delivery: Delivery, state: RowState): Write {
  return { table: "deliveries", key: laneKey(lane, delivery.id), value: encodeRow(delivery, state) }
}

/** Puts a delivery's row where the parked ones are, and where it is found when its time comes. */
export function putParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: encodeRow(delivery, state) })
  const index = state.held ? heldKey(delivery) : timeKey(state.dueAt)
  writes.push({ table: "parked", key: index + key, value: present })
}

/** Takes a delivery's row away from where it is parked or held. */
export function removeParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: undefined })
  const index = state.held ? heldKey(delivery) : timeKey(state.dueAt)
  writes.push({ table: "parked", key: index + key, value: undefined })
}

/*
 * A row, numbers little-endian:
 *
 *   1  flags
 *   8  first due at
 *   8  due at
 *   4  attempts
 *   4  attempts forgiven
 *   1  nothing
 *   4  the event's fingerprint; not in rows without fingerprintFlag
 *   …  with namedFlag: cursor, trigger and incarnation, which do not follow from the id, as a JSON list
 */
const oldRowBytes = 26
const rowBytes = 30
const heldFlag = 1
const namedFlag = 2
/** The id ends in an incarnation. */
const incarnationFlag = 4
const fingerprintFlag = 8
const decoder = new TextDecoder()

/** The row of a delivery. */
export function encodeRow(delivery: Delivery, state: RowState): Uint8Array {
  const { cursor, trigger, incarnation } = delivery
  if (isDerived(delivery)) return encodeHead(delivery, state, incarnation === "" ? 0 : incarnationFlag)
  const names = Buffer.from(JSON.stringify([cursor, trigger, incarnation]))
  return Buffer.concat([encodeHead(delivery, state, namedFlag), names])
}

/** Whether the delivery's id says its cursor, trigger and incarnation. */
function isDerived({ id, cursor, trigger, incarnation }: Delivery): boolean {
  return (
    id === deliveryId(cursor, trigger, incarnation) && id.indexOf(".") === cursor.length && !incarnation.includes(".")
  )
}

function encodeHead({ fingerprint }: Delivery, state: RowState, flags: number): Uint8Array {
  const bytes = Buffer.alloc(rowBytes)
  bytes[0] = flags | fingerprintFlag | (state.held ? heldFlag : 0)
  bytes.writeDoubleLE(state.firstDueAt, 1)
  bytes.writeDoubleLE(state.dueAt, 9)
  bytes.writeUInt32LE(state.attempts, 17)
  bytes.writeUInt32LE(state.forgiven, 21)
  bytes.writeUInt32LE(fingerprint, 26)
  return bytes
}

/** The inverse of {@link encodeRow}, for a row that was found at `<lane> <id>`. */
export function decodeRow(lane: string, id: string, bytes: Uint8Array): { delivery: Delivery; state: RowState } {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const flags = row[0]!
  const hasFingerprint = (flags & fingerprintFlag) !== 0
  const { tenant, destination } = partsOfLane(lane)
  const names =
    (flags & namedFlag) === 0
      ? namesIn(id, (flags & incarnationFlag) !== 0)
      : (JSON.parse(decoder.decode(row.subarray(hasFingerprint ? rowBytes : oldRowBytes))) as Names)
  const [cursor, trigger, incarnation = ""] = names
  return {
    delivery: {
      id,
      tenant,
      trigger,
      incarnation,
      destination,
      cursor: cursor as Cursor,
      fingerprint: hasFingerprint ? row.readUInt32LE(26) : 0,
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

type Names = readonly [cursor: string, trigger: string, incarnation?: string]

function namesIn(id: string, hasIncarnation: boolean): Names {
  const [start, end] = [id.indexOf("."), hasIncarnation ? id.lastIndexOf(".") : id.length]
  return [id.slice(0, start), id.slice(start + 1, end), id.slice(end + 1)]
}
