import { crc32 } from "node:zlib"
import { DamagedError } from "../../../core/errors.ts"
import type { Table, Write } from "../store.ts"

/*
 * A record of a journal:
 *
 *   1  format, 2; with 1, rows of deliveries are those from before incarnations and fingerprints
 *   1  flags
 *   …  of a checkpoint, the place from which on the journal tells everything, as a double, and the number of the
 *      last record before it, 4 bytes, little-endian; else
 *      a part of the writes' bytes, one write after another:
 *        1  the table's number, + 128 for a deletion
 *        2  bytes of the key, little-endian
 *        4  bytes of the value, little-endian; not of a deletion
 *        …  the key in UTF-8, the value
 *   4  CRC-32 of all before it, little-endian
 */

/** Of a record of the journal. */
export interface RecordFlags {
  /** What is written together goes on in the next record. */
  readonly more: boolean
  /** The first of a new owner, or of another call: what began before it and did not end is void. */
  readonly begins: boolean
}

const format = 2
const formatsRead: readonly unknown[] = [1, format]
const [moreFlag, beginsFlag, checkpointFlag] = [1, 2, 4]
const headBytes = 2
const crcBytes = 4
/** What a record has beside the writes' bytes. */
export const recordBytesMore = headBytes + crcBytes
const deletedFlag = 128
/** Never to be changed: journals hold them. */
const tableNumbers: Readonly<Record<Table, number>> = {
  catalog: 0,
  deliveries: 1,
  parked: 2,
  dead: 3,
  positions: 4,
  index: 5,
  meta: 6,
}
const tablesByNumber = new Map(Object.entries(tableNumbers).map(([table, number]) => [number, table as Table]))

/** The bytes of writes, as a record, or several, hold them. */
export function encodeWrites(writes: readonly Write[]): Buffer {
  let size = 0
  for (const { key, value } of writes) size += 3 + Buffer.byteLength(key) + (value === undefined ? 0 : 4 + value.length)
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const { table, key, value } of writes) {
    bytes[at] = tableNumbers[table] | (value === undefined ? deletedFlag : 0)
    const keyAt = at + (value === undefined ? 3 : 7)
    const keyBytes = bytes.write(key, keyAt)
    bytes.writeUInt16LE(keyBytes, at + 1)
    at = keyAt + keyBytes
    if (value === undefined) continue
    bytes.writeUInt32LE(value.length, keyAt - 4)
    bytes.set(value, at)
    at += value.length
  }
  return bytes
}

/** The inverse of {@link encodeWrites}. Values are views of `bytes`. */
export function decodeWrites(bytes: Buffer): Write[] {
  const writes: Write[] = []
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]!
    const table = tablesByNumber.get(first & ~deletedFlag)
    if (table === undefined) throw new DamagedError(`a journal's write, of a table ${first & ~deletedFlag}`)
    const keyBytes = bytes.readUInt16LE(at + 1)
    const isDeleted = (first & deletedFlag) !== 0
    const keyAt = at + (isDeleted ? 3 : 7)
    const valueBytes = isDeleted ? 0 : bytes.readUInt32LE(at + 3)
    at = keyAt + keyBytes
    const key = bytes.toString("utf8", keyAt, at)
    writes.push({ table, key, value: isDeleted ? undefined : bytes.subarray(at, at + valueBytes) } as Write)
    at += valueBytes
  }
  return writes
}

/** A record with a part of the writes' bytes. */
export function encodeRecord(parts: readonly Uint8Array[], { more, begins }: RecordFlags): Buffer {
  let size = recordBytesMore
  for (const part of parts) size += part.length
  const record = Buffer.allocUnsafe(size)
  record[0] = format
  record[1] = (more ? moreFlag : 0) | (begins ? beginsFlag : 0)
  let at = headBytes
  for (const part of parts) {
    record.set(part, at)
    at += part.length
  }
  return sealed(record)
}

export interface Checkpoint {
  /** From this place on the journal tells everything. */
  readonly place: number
  /** The number of the last record before it. */
  readonly number: number
}

export function encodeCheckpoint({ place, number }: Checkpoint): Buffer {
  const record = Buffer.alloc(recordBytesMore + 12)
  record[0] = format
  record[1] = checkpointFlag
  record.writeDoubleLE(place, headBytes)
  record.writeUInt32LE(number, headBytes + 8)
  return sealed(record)
}

/** What a checkpoint tells; undefined of other records. Nothing is checked. */
export function checkpointOf(record: Buffer): Checkpoint | undefined {
  if ((record[1]! & checkpointFlag) === 0) return undefined
  return { place: record.readDoubleLE(headBytes), number: record.readUInt32LE(headBytes + 8) }
}

function sealed(record: Buffer): Buffer {
  const end = record.length - crcBytes
  record.writeUInt32LE(crc32(record.subarray(0, end)), end)
  return record
}

/** The inverse of {@link encodeRecord}; `where` names it in the DamagedError of one that does not check. */
export function decodeRecord(data: Uint8Array, where: string): RecordFlags & { readonly bytes: Buffer } {
  const record = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const end = record.length - crcBytes
  if (
    end < headBytes ||
    !formatsRead.includes(record[0]) ||
    record.readUInt32LE(end) !== crc32(record.subarray(0, end))
  ) {
    throw new DamagedError(where)
  }
  const flags = record[1]!
  return { more: (flags & moreFlag) !== 0, begins: (flags & beginsFlag) !== 0, bytes: record.subarray(headBytes, end) }
}
