import { Event } from "../../../core/event.ts"
import { orders } from "./machine.fixture.ts"
import { headerBytes } from "./record.ts"

/** Data of which each 8 bytes look like the beginning of a record of so many bytes, as far as can be known without the log's salt. */
export function hostileData(bytes: number, claimed: (at: number) => number, kind = 1): Buffer {
  const data = Buffer.alloc(bytes)
  // A record's length comes behind its magic, format and kind: it is the first part of the next one.
  for (let at = 0; at + 8 <= bytes; at += 8) {
    data.writeUInt32LE(claimed(at), at)
    data.writeUInt16LE(0xca52, at + 4)
    data[at + 6] = 2
    data[at + 7] = kind
  }
  return data
}

/** Whose data begins at a multiple of 8 in its record on {@link orders}, and where in the record. */
export function hostileEvent(id: string, data: Buffer): { readonly event: Event; readonly dataAt: number } {
  const of = (type: string) => Event.of({ specversion: "1.0", id, source: "/s", type }, data, "binary")
  const before = headerBytes + orders.tenant.length + orders.topic.length
  const type = "t".repeat(8 - ((before + of("").attributesJson.length) % 8))
  return { event: of(type), dataAt: before + of(type).attributesJson.length }
}
