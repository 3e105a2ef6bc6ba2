import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId, laneOf, partsOfLane } from "../../../core/delivery.ts"
import type { Write } from "../store.ts"

/** What the store holds of an open delivery beside its names. */
export interface RowState {
  /** Leases that ended, and count. */
  readonly attempts: number
  /** Attempts from before the last redrive. */
  readonly forgiven: number
  readonly firstDueAt: number
  /** When it is due; of a held delivery, when its holding began, of a kept one, when its lease did. Whole milliseconds. */
  readonly dueAt: number
  readonly held: boolean
  /** It waits for another one of its order key, and for nothing else. */
  readonly behind: boolean
  /** The token of its lease, which never lapses; absent: it is in none such. */
  readonly kept?: number
  /** The last attempt that counts has not ended, or its process died before it did. */
  readonly unended?: boolean
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
 *   behind   parked      =<lane> <id>                     the row
 *   kept     parked      =<lane> <id>                     the row
 *            parked      *<lane> <trigger>[.<incarnation>] <order key> <lane> <id>
 *                                                         where it has an order key, to know that it keeps the others back
 *
 * Where it has an order key, in whatever place it is, and also where its death holds the key:
 *
 *            parked      &<lane> <trigger>[.<incarnation>] <order key> <id>
 *
 * Of those that differ in the id alone the first is the one that may be leased; what is behind it needs no other index, for
 * it is due when it is the first.
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
export const keptPrefix = "*"
/** Past the keys by which is known what an ordered delivery keeps back that is in a lease that never lapses. */
export const pastKept = String.fromCharCode(keptPrefix.charCodeAt(0) + 1)
export const orderMark = "&"
/** Past the keys of the order index. */
export const pastOrder = String.fromCharCode(orderMark.charCodeAt(0) + 1)
const present = Uint8Array.of(1)
const holding = Uint8Array.of(2)

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

/** Before the ids of the deliveries of this one's order key; undefined: it has none. */
export function orderPrefix(lane: string, delivery: Delivery): string | undefined {
  const { orderKey, trigger, incarnation } = delivery
  if (orderKey === undefined) return undefined
  const name = incarnation === "" ? trigger : `${trigger}.${incarnation}`
  return orderMark + laneKey(lane, `${name}${separator}${orderKey}${separator}`)
}

/** Before the keys of what is kept of those that have this {@link orderPrefix}; and past them. */
export function keptOf(orderPrefix: string): { readonly start: string; readonly end: string } {
  const start = keptPrefix + orderPrefix.slice(1)
  return { start, end: start.slice(0, -1) + pastSeparator }
}

/** Takes a key of the order index apart. */
export function splitOrderKey(key: string): { readonly lane: string; readonly prefix: string; readonly id: string } {
  const end = key.lastIndexOf(separator) + 1
  return { lane: key.slice(1, key.indexOf(separator)), prefix: key.slice(0, end), id: key.slice(end) }
}

/** Gives an ordered delivery its place in the order. `holds`: it is dead, and those behind it wait all the same. */
export function putOrder(writes: Write[], lane: string, delivery: Delivery, holds = false): void {
  const prefix = orderPrefix(lane, delivery)
  if (prefix !== undefined) {
    writes.push({ table: "parked", key: prefix + delivery.id, value: holds ? holding : present })
  }
}

/** Whether what the order index has there is for a dead one. */
export function isHolding(value: Uint8Array): boolean {
  return value[0] === holding[0]
}

/** Those behind it need wait for it no more. */
export function removeOrder(writes: Write[], lane: string, delivery: Delivery): void {
  const prefix = orderPrefix(lane, delivery)
  if (prefix !== undefined) writes.push({ table: "parked", key: prefix + delivery.id, value: undefined })
}

/** Puts a delivery's row where due ones are. */
export function putDue(lane: string, delivery: Delivery, state: RowState): Write {
  return { table: "deliveries", key: laneKey(lane, delivery.id), value: encodeRow(delivery, state) }
}

/** Puts a delivery's row where the parked ones are, and where it is found when its time comes. */
export function putParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: encodeRow(delivery, state) })
  const index = indexOf(delivery, state)
  if (index !== undefined) writes.push({ table: "parked", key: index + key, value: present })
}

/** Puts a delivery that waits for no time where it belongs: where due ones are, or behind those before it in its order. */
export function putFresh(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  if (delivery.orderKey === undefined) writes.push(putDue(lane, delivery, state))
  else putParked(writes, lane, delivery, state)
  putOrder(writes, lane, delivery)
}

/** Takes a delivery's row away from where it is parked or held. */
export function removeParked(writes: Write[], lane: string, delivery: Delivery, state: RowState): void {
  const key = laneKey(lane, delivery.id)
  writes.push({ table: "parked", key: parkedPrefix + key, value: undefined })
  const index = indexOf(delivery, state)
  if (index !== undefined) writes.push({ table: "parked", key: index + key, value: undefined })
}

/** By what a row that is parked, held or behind another is found, before its own key; undefined: by its order alone. */
export function indexOf(delivery: Delivery, state: RowState): string | undefined {
  if (state.held) return heldKey(delivery)
  if (state.kept !== undefined) {
    const prefix = orderPrefix(laneOf(delivery), delivery)
    return prefix && keptOf(prefix).start
  }
  return state.behind ? undefined : timeKey(state.dueAt)
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
 *   8  with keptFlag: the token of its lease
 *   …  with orderFlag: the order key, its length in 1 byte before it
 *   …  with namedFlag: cursor, trigger and incarnation, which do not follow from the id, and of what is replayed its replay,
 *      as a JSON list
 */
const oldRowBytes = 26
const rowBytes = 30
const tokenBytes = 8
const heldFlag = 1
const namedFlag = 2
/** The id ends in an incarnation. */
const incarnationFlag = 4
const fingerprintFlag = 8
const behindFlag = 16
const orderFlag = 32
const unendedFlag = 64
const keptFlag = 128
const decoder = new TextDecoder()

/** The row of a delivery. */
export function encodeRow(delivery: Delivery, state: RowState): Uint8Array {
  const { cursor, trigger, incarnation } = delivery
  if (isDerived(delivery)) return encodeHead(delivery, state, incarnation === "" ? 0 : incarnationFlag)
  const said = [cursor, trigger, incarnation]
  const names = Buffer.from(JSON.stringify(delivery.replay === undefined ? said : [...said, delivery.replay]))
  return Buffer.concat([encodeHead(delivery, state, namedFlag), names])
}

/** Whether the delivery's id says its cursor, trigger and incarnation. */
function isDerived({ id, cursor, trigger, incarnation }: Delivery): boolean {
  return (
    id === deliveryId(cursor, trigger, incarnation) && id.indexOf(".") === cursor.length && !incarnation.includes(".")
  )
}

function encodeHead({ fingerprint, orderKey }: Delivery, state: RowState, flags: number): Uint8Array {
  const { kept } = state
  const orderAt = kept === undefined ? rowBytes : rowBytes + tokenBytes
  const bytes = Buffer.alloc(orderAt + (orderKey === undefined ? 0 : 1 + orderKey.length))
  bytes[0] = flags | fingerprintFlag | (state.held ? heldFlag : 0) | (state.behind ? behindFlag : 0)
  if (state.unended) bytes[0] |= unendedFlag
  if (kept !== undefined) {
    bytes[0] |= keptFlag
    bytes.writeDoubleLE(kept, rowBytes)
  }
  if (orderKey !== undefined) {
    bytes[0] |= orderFlag
    bytes[orderAt] = orderKey.length
    bytes.write(orderKey, orderAt + 1, "latin1")
  }
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
  const isKept = (flags & keptFlag) !== 0
  const { tenant, destination } = partsOfLane(lane)
  const orderAt = isKept ? rowBytes + tokenBytes : rowBytes
  const orderEnd = (flags & orderFlag) === 0 ? orderAt : orderAt + 1 + row[orderAt]!
  const names =
    (flags & namedFlag) === 0
      ? namesIn(id, (flags & incarnationFlag) !== 0)
      : (JSON.parse(decoder.decode(row.subarray(hasFingerprint ? orderEnd : oldRowBytes))) as Names)
  const [cursor, trigger, incarnation = "", replay] = names
  return {
    delivery: {
      id,
      tenant,
      trigger,
      incarnation,
      destination,
      cursor: cursor as Cursor,
      fingerprint: hasFingerprint ? row.readUInt32LE(26) : 0,
      ...(orderEnd > orderAt && { orderKey: row.toString("latin1", orderAt + 1, orderEnd) }),
      ...(replay !== undefined && { replay }),
    },
    state: {
      attempts: row.readUInt32LE(17),
      forgiven: row.readUInt32LE(21),
      firstDueAt: row.readDoubleLE(1),
      dueAt: row.readDoubleLE(9),
      held: (flags & heldFlag) !== 0,
      behind: (flags & behindFlag) !== 0,
      ...(isKept && { kept: row.readDoubleLE(rowBytes) }),
      ...((flags & unendedFlag) !== 0 && { unended: true }),
    },
  }
}

type Names = readonly [cursor: string, trigger: string, incarnation?: string, replay?: string]

function namesIn(id: string, hasIncarnation: boolean): Names {
  const [start, end] = [id.indexOf("."), hasIncarnation ? id.lastIndexOf(".") : id.length]
  return [id.slice(0, start), id.slice(start + 1, end), id.slice(end + 1)]
}
