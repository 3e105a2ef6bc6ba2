import type { Disk } from "../disk.ts"
import { checkRecord, headerBytes, headKind, isOlderFormat, payloadOf } from "./record.ts"

/** What says to which log records belong. */
export interface LogIdentity {
  readonly id: string
  /** Goes into the CRC of each record. */
  readonly salt: number
}

/** A segment as it was when it was sealed. */
export interface SealedSegment {
  readonly base: number
  readonly bytes: number
  /** Where its last record ended. */
  readonly end: number
}

/** The first record of a segment: whose it is, and what comes before it. */
export interface SegmentHead extends LogIdentity {
  readonly base: number
  readonly bytes: number
  /** None before the log's first. */
  readonly previous?: SealedSegment
}

/** Heads are read before the log's salt is known. */
export const headSalt = 0
const headBytesMax = 1_024

export function encodeHead(head: SegmentHead): Buffer {
  return Buffer.from(JSON.stringify(head))
}

export type FoundHead =
  | { readonly kind: "head"; readonly head: SegmentHead }
  | { readonly kind: "none" | "empty" | "older format" }

/** Reads the head of a segment's file. */
export async function readHead(disk: Disk, name: string): Promise<FoundHead> {
  const file = await disk.open(name)
  try {
    const block = Buffer.alloc(headBytesMax)
    const read = block.subarray(0, await file.read(block, 0))
    if (isOlderFormat(read, 0)) return { kind: "older format" }
    // Of a file that was exchanged the head tells another place than its name.
    const head = decodeHead(read)
    if (head !== undefined && checkRecord(read, 0, head.base, headSalt)?.kind === headKind)
      return { kind: "head", head }
    return { kind: isEmpty(read) ? "empty" : "none" }
  } finally {
    await file.close()
  }
}

/** What its payload says; nothing is checked yet. */
function decodeHead(block: Buffer): SegmentHead | undefined {
  const text = block.length <= headerBytes ? "" : payloadOf(block, 0).toString("utf8")
  if (!text.startsWith("{")) return undefined
  try {
    return JSON.parse(text) as SegmentHead
  } catch {
    return undefined
  }
}

function isEmpty(block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}
