import { crc32 } from "node:zlib"
import type { Address } from "../../../core/address.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { StoredEvent } from "../../../core/engine.ts"
import { type DataKind, Event } from "../../../core/event.ts"
import { formatCursor } from "./cursor.ts"

/*
 * A record, little-endian, beginning at a multiple of 8:
 *
 *    0  u16 magic    2  u8 format    3  u8 kind (data kind, or gap)
 *    4  u32 length of the record, without the padding to 8
 *    8  u32 CRC32 of all that follows, seeded with the record's position
 *   12  u8 tenant's length   13  u8 topic's length   14  u16 key's length (0: no key)
 *   16  f64 stored at, Unix milliseconds
 *   24  u32 length of the attributes' JSON
 *   28  u32, u32 hash of tenant, topic, source and id
 *   36  u32 distance back to the start of its commit
 *   40  tenant, topic, key, attributes' JSON, data
 *
 * The seed makes a record valid in one place only, so that what a recycled file held before never passes for an event.
 * A gap is a header whose length is what to skip; its CRC covers the header.
 */
export const headerBytes = 40
const magic = 0xca52
const format = 1
/** In the kind's place of a gap. */
export const gapKind = 0xff
const kinds: readonly DataKind[] = ["none", "json", "text", "binary"]

/** What the log needs to know of a record without decoding its event. */
export interface RecordHead {
  /** With the padding. */
  readonly bytes: number
  readonly gap: boolean
}

/** The bytes a record of these parts takes, padding included. */
export function recordBytes(addressBytes: number, event: Event): number {
  return align(headerBytes + addressBytes + event.attributesJson.length + (event.data?.length ?? 0))
}

export function align(bytes: number): number {
  return (bytes + 7) & ~7
}

export interface RecordFields {
  /** Where the record will be in the log. */
  readonly position: number
  readonly commitStart: number
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

/** Writes a record at `at`; `into` has room for it. */
export function writeRecord(into: Buffer, at: number, fields: RecordFields, event: Event): void {
  const { address, bytes } = fields.address
  const attributes = event.attributesJson
  const data = event.data
  const length = headerBytes + bytes.length + attributes.length + (data?.length ?? 0)
  into[at + 3] = kinds.indexOf(event.dataKind)
  into[at + 12] = address.tenant.length
  into[at + 13] = address.topic.length
  into.writeUInt16LE(address.key?.length ?? 0, at + 14)
  into.writeDoubleLE(fields.storedAt, at + 16)
  into.writeUInt32LE(attributes.length, at + 24)
  into.writeUInt32LE(fields.hashLow, at + 28)
  into.writeUInt32LE(fields.hashHigh, at + 32)
  into.writeUInt32LE(fields.position - fields.commitStart, at + 36)
  into.set(bytes, at + headerBytes)
  into.set(attributes, at + headerBytes + bytes.length)
  if (data !== undefined) into.set(data, at + headerBytes + bytes.length + attributes.length)
  seal(into, at, length, length, fields.position)
  into.fill(0, at + length, at + align(length))
}

/** Writes a gap of `bytes` (at least a header's) at `at`. */
export function writeGap(into: Buffer, at: number, bytes: number, position: number, commitStart = position): void {
  into.fill(0, at, at + headerBytes)
  into[at + 3] = gapKind
  into.writeUInt32LE(position - commitStart, at + 36)
  seal(into, at, bytes, headerBytes, position)
}

function seal(into: Buffer, at: number, length: number, covered: number, position: number): void {
  into.writeUInt16LE(magic, at)
  into[at + 2] = format
  into.writeUInt32LE(length, at + 4)
  into.writeUInt32LE(crc32(into.subarray(at + 12, at + covered), seed(position)), at + 8)
}

function seed(position: number): number {
  return ((position / 8) ^ Math.imul(Math.floor(position / 2 ** 35), 0x9e3779b1)) >>> 0
}

/** How long the record at `at` says it is, padding included; 0 where no record begins. Nothing is checked. */
export function claimedBytes(block: Buffer, at: number): number {
  if (at + headerBytes > block.length || block.readUInt16LE(at) !== magic || block[at + 2] !== format) return 0
  return align(block.readUInt32LE(at + 4))
}

/** Checks the record at `at`; undefined where it does not check, or does not end within the block. */
export function checkRecord(block: Buffer, at: number, position: number): RecordHead | undefined {
  const bytes = claimedBytes(block, at)
  if (bytes < headerBytes) return undefined
  const gap = block[at + 3] === gapKind
  const covered = gap ? headerBytes : block.readUInt32LE(at + 4)
  if (at + covered > block.length) return undefined
  if (crc32(block.subarray(at + 12, at + covered), seed(position)) !== block.readUInt32LE(at + 8)) return undefined
  return { bytes, gap }
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
    const end = at + block.readUInt32LE(at + 4)
    const kind = kinds[block[at + 3]!]!
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
