import { crc32 } from "node:zlib"
import type { Address } from "../../../core/address.ts"
import type { Cursor } from "../../../core/cursor.ts"
import { type DataKind, Event } from "../../../core/event.ts"
import type { StoredEvent } from "../../../core/log.ts"
import { formatCursor } from "./cursor.ts"

/*
 * A record, little-endian, beginning at a multiple of 8:
 *
 *    0  u32 CRC32 of all that follows, seeded with the record's position and the log's salt
 *    4  u16 magic    6  u8 format    7  u8 kind (data kind; or gap, journal, head)
 *    8  u32 length of the record, without the padding to 8
 *   12  u8 tenant's length   13  u8 topic's length   14  u16 key's length (0: no key)
 *   16  f64 stored at, Unix milliseconds
 *   24  u32 length of the attributes' JSON
 *   28  u32, u32 hash of tenant, topic, source and id
 *   36  u32 distance back to the start of its commit
 *   40  tenant, topic, key, attributes' JSON, data
 *
 * The seed makes a record valid in one place of one log only, so that neither what a recycled file held before nor what
 * somebody put into an event's data ever passes for an event.
 * A gap is a header whose length is what to skip; its CRC covers the header. At 28 it has 1 where it ends a full segment. Of a journal's record and a segment's head,
 * which are the hub's own, the payload follows the header, and between 12 and 36 there is only a running number, at 28.
 */
export const headerBytes = 40
/** No record is larger, but for gaps: an event has half of that at most. */
export const recordBytesMax = 2 << 20
/** No file of the log is larger. */
const gapBytesMax = 1 << 30
const magic = 0xca52
const format = 2
const [lengthAt, kindAt, magicAt] = [8, 7, 4]
/** In the kind's place of records that hold no event. */
export const gapKind = 0xff
export const journalKind = 0xfe
export const headKind = 0xfd
/** In the running number's place of the gap that ends a full segment. */
const sealNumber = 1
const kinds: readonly DataKind[] = ["none", "json", "text", "binary"]

/** What the log needs to know of a record without decoding its event. */
export interface RecordHead {
  /** With the padding. */
  readonly bytes: number
  readonly kind: number
}

/** The bytes a record of these parts takes, padding included. */
export function recordBytes(addressBytes: number, event: Event): number {
  return align(headerBytes + addressBytes + event.attributesJson.length + (event.data?.length ?? 0))
}

export function align(bytes: number): number {
  return (bytes + 7) & ~7
}

/** Where a record will be in the log. */
export interface Place {
  readonly position: number
  readonly commitStart: number
  /** The log's own: without it nothing checks. */
  readonly salt: number
}

export interface RecordFields {
  readonly place: Place
  readonly address: EncodedAddress
  readonly storedAt: number
  readonly hashLow: number
  readonly hashHigh: number
}

/** An address in the form records hold it in. */
export interface EncodedAddress {
  readonly address: Address
  readonly bytes: Uint8Array
}

/** Names are ASCII ({@link Address} is checked before it gets here). */
export function encodeAddress(address: Address): EncodedAddress {
  return { address, bytes: Buffer.from(`${address.tenant}${address.topic}${address.key ?? ""}`, "latin1") }
}

/** Writes a record at `at`; `into` has room for it, and `view` is over the same bytes. */
export function writeRecord(into: Buffer, view: DataView, at: number, fields: RecordFields, event: Event): void {
  const { address, bytes } = fields.address
  const attributes = event.attributesJson
  const data = event.data
  const attributesAt = at + headerBytes + bytes.length
  const dataAt = attributesAt + attributes.length
  const end = dataAt + (data?.length ?? 0)
  view.setUint8(at + 12, address.tenant.length)
  view.setUint8(at + 13, address.topic.length)
  view.setUint16(at + 14, address.key?.length ?? 0, true)
  view.setFloat64(at + 16, fields.storedAt, true)
  view.setUint32(at + 24, attributes.length, true)
  view.setUint32(at + 28, fields.hashLow, true)
  view.setUint32(at + 32, fields.hashHigh, true)
  into.set(bytes, at + headerBytes)
  into.set(attributes, attributesAt)
  if (data !== undefined) into.set(data, dataAt)
  for (let padding = end; padding < at + align(end - at); padding++) into[padding] = 0
  seal(into, view, at, { kind: kinds.indexOf(event.dataKind), length: end - at, covered: end - at }, fields.place)
}

/** The bytes that a record of the hub's own takes, padding included. */
export function ownRecordBytes(payload: Uint8Array): number {
  return align(headerBytes + payload.length)
}

/** Writes a record that holds no event; as {@link writeRecord}. */
export function writeOwnRecord(
  into: Buffer,
  view: DataView,
  at: number,
  place: Place,
  { kind, payload, number = 0 }: { readonly kind: number; readonly payload: Uint8Array; readonly number?: number },
): void {
  const length = headerBytes + payload.length
  into.fill(0, at, at + headerBytes)
  view.setUint32(at + 28, number, true)
  into.set(payload, at + headerBytes)
  into.fill(0, at + length, at + align(length))
  seal(into, view, at, { kind, length, covered: length }, place)
}

/** Writes a gap of `bytes` (at least a header's) at `at`; one that `seals` its segment says that another one follows it at once. */
export function writeGap(into: Buffer, at: number, bytes: number, place: Place, seals = false): void {
  const view = new DataView(into.buffer, into.byteOffset, into.length)
  into.fill(0, at, at + headerBytes)
  if (seals) view.setUint32(at + 28, sealNumber, true)
  seal(into, view, at, { kind: gapKind, length: bytes, covered: headerBytes }, place)
}

interface Sealed {
  readonly kind: number
  readonly length: number
  /** What the CRC is over, counted from the record's start. */
  readonly covered: number
}

function seal(into: Buffer, view: DataView, at: number, { kind, length, covered }: Sealed, place: Place): void {
  const { position, commitStart, salt } = place
  view.setUint16(at + magicAt, magic, true)
  view.setUint8(at + magicAt + 2, format)
  view.setUint8(at + kindAt, kind)
  view.setUint32(at + lengthAt, length, true)
  view.setUint32(at + 36, position - commitStart, true)
  view.setUint32(at, crc32(into.subarray(at + magicAt, at + covered), seed(position, salt)), true)
}

function seed(position: number, salt: number): number {
  return ((position / 8) ^ Math.imul(Math.floor(position / 2 ** 35), 0x9e3779b1) ^ salt) >>> 0
}

/** How long the record at `at` says it is, padding included; 0 where no record begins. Nothing else is checked. */
export function claimedBytes(block: Buffer, at: number): number {
  if (at + headerBytes > block.length || block.readUInt16LE(at + magicAt) !== magic) return 0
  if (block[at + magicAt + 2] !== format) return 0
  const length = block.readUInt32LE(at + lengthAt)
  const max = claimsGap(block, at) ? gapBytesMax : recordBytesMax
  if (length < headerBytes || length > max) return 0
  return align(length)
}

/** How many bytes have to be there to check what begins at `at`: of a gap its header. 0 where no record begins. */
export function neededBytes(block: Buffer, at: number): number {
  const claimed = claimedBytes(block, at)
  return claimed > 0 && claimsGap(block, at) ? headerBytes : claimed
}

/** Whether the record at `at` says that it is a gap, whose bytes need not be there. Nothing is checked. */
export function claimsGap(block: Buffer, at: number): boolean {
  return block[at + kindAt] === gapKind
}

/** What the record at `at` says is the CRC-32, begun with `seed`, of the block's bytes between `from` and `to`. */
export interface Claim {
  readonly from: number
  readonly to: number
  readonly seed: number
  readonly sum: number
}

/** Of what looks like a record's beginning. Nothing is checked, nor whether it ends within the block. */
export function claimAt(block: Buffer, at: number, position: number, salt: number): Claim {
  const covered = claimsGap(block, at) ? headerBytes : block.readUInt32LE(at + lengthAt)
  return { from: at + magicAt, to: at + covered, seed: seed(position, salt), sum: block.readUInt32LE(at) }
}

/** Checks the record at `at`; undefined where it does not check, or does not end within the block. */
export function checkRecord(block: Buffer, at: number, position: number, salt: number): RecordHead | undefined {
  const bytes = claimedBytes(block, at)
  if (bytes === 0) return undefined
  const kind = block[at + kindAt]!
  const covered = kind === gapKind ? headerBytes : block.readUInt32LE(at + lengthAt)
  if (at + covered > block.length) return undefined
  if (crc32(block.subarray(at + magicAt, at + covered), seed(position, salt)) !== block.readUInt32LE(at)) {
    return undefined
  }
  return { bytes, kind }
}

/** Whether a (checked) record holds an event. */
export function isEvent({ kind }: RecordHead): boolean {
  return kind < kinds.length
}

/** The payload of the (checked) record of the hub's own at `at`; a view of the block. */
export function payloadOf(block: Buffer, at: number): Buffer {
  return block.subarray(at + headerBytes, at + block.readUInt32LE(at + lengthAt))
}

/** The running number of the (checked) record of the hub's own at `at`. */
export function numberOf(block: Buffer, at: number): number {
  return block.readUInt32LE(at + 28)
}

/** Whether a record of the layout of before begins at `at`. */
export function isOlderFormat(block: Buffer, at: number): boolean {
  return at + headerBytes <= block.length && block.readUInt16LE(at) === magic && block[at + 2] === 1
}

/** Whether the (checked) record at `at` is a gap that says that another segment follows at once. */
export function sealsSegment(block: Buffer, at: number): boolean {
  return block[at + kindAt] === gapKind && numberOf(block, at) === sealNumber
}

/** Where the commit began that wrote the (checked) record at `at`. */
export function commitStartOf(block: Buffer, at: number, position: number): number {
  return position - block.readUInt32LE(at + 36)
}

/** A checked record, decoded as far as it is asked. Keeps `block` alive. */
export class StoredRecord implements StoredEvent {
  readonly address: Address
  readonly position: number
  readonly #block: Buffer
  readonly #at: number
  #event: Event | undefined

  constructor(block: Buffer, at: number, position: number, address: Address) {
    this.#block = block
    this.#at = at
    this.position = position
    this.address = address
  }

  get cursor(): Cursor {
    return formatCursor(this.position)
  }

  get storedAt(): number {
    return this.#block.readDoubleLE(this.#at + 16)
  }

  /** What the record takes in the log, padding included. */
  get bytes(): number {
    return claimedBytes(this.#block, this.#at)
  }

  get hashLow(): number {
    return this.#block.readUInt32LE(this.#at + 28)
  }

  get hashHigh(): number {
    return this.#block.readUInt32LE(this.#at + 32)
  }

  get event(): Event {
    this.#event ??= this.#decode()
    return this.#event
  }

  #decode(): Event {
    const block = this.#block
    const at = this.#at
    const attributesAt = at + headerBytes + addressBytesAt(block, at)
    const dataAt = attributesAt + block.readUInt32LE(at + 24)
    const end = at + block.readUInt32LE(at + lengthAt)
    const kind = kinds[block[at + kindAt]!]!
    return Event.fromJson(
      block.subarray(attributesAt, dataAt),
      kind === "none" ? undefined : block.subarray(dataAt, end),
      kind,
    )
  }
}

function addressBytesAt(block: Buffer, at: number): number {
  return block[at + 12]! + block[at + 13]! + block.readUInt16LE(at + 14)
}

/** The addresses seen while reading, one object each: bounded, and emptied when full. */
export class Addresses {
  readonly #known = new Map<string, Address>()
  readonly #max: number

  constructor(max = 10_000) {
    this.#max = max
  }

  /** The address of the (checked) record at `at`. */
  at(block: Buffer, at: number): Address {
    const tenantEnd = block[at + 12]!
    const topicEnd = tenantEnd + block[at + 13]!
    const text = block.toString("latin1", at + headerBytes, at + headerBytes + addressBytesAt(block, at))
    const known = this.#known.get(text)
    if (known !== undefined && known.tenant.length === tenantEnd && tenantEnd + known.topic.length === topicEnd)
      return known
    const key = text.slice(topicEnd)
    const address: Address = {
      tenant: text.slice(0, tenantEnd),
      topic: text.slice(tenantEnd, topicEnd),
      ...(key !== "" && { key }),
    }
    if (this.#known.size >= this.#max) this.#known.clear()
    this.#known.set(text, address)
    return address
  }
}
