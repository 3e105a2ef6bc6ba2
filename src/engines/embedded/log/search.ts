import { checkRecord, claimAt, commitStartOf, headerBytes, neededBytes } from "./record.ts"
import { Sums } from "./sums.ts"

/** What is looked for is near, mostly. */
const nearBytes = 64 * 1024
const farBytes = 1 << 20

/** A record that checks, and where its commit began. */
export interface Found {
  readonly position: number
  readonly commitStart: number
}

/** Where to look for a record. */
export interface Searched {
  readonly from: number
  readonly end: number
  readonly salt: number
  /** Answers less where there is no more. */
  load(position: number, bytes: number): Promise<Buffer>
}

/**
 * The first record that checks between `from` and `end`. Any 8 bytes of an event's data may look like a record's beginning:
 * whatever they claim, what is read and summed is no more than a few times what is searched, and a record's largest size.
 */
export async function findRecord({ from, end, salt, load }: Searched): Promise<Found | undefined> {
  let asked = nearBytes
  for (let position = from; position + headerBytes <= end; ) {
    const size = Math.min(asked, end - position)
    const block = await load(position, size)
    const isAll = block.length < size
    const looked = look(block, { position, until: isAll ? position + block.length : end, salt })
    if ("commitStart" in looked) return looked
    if (isAll) return undefined
    position = looked.position
    // With room for those behind it that claim as much: each read brings the search on by half of it.
    asked = Math.max(farBytes, 2 * looked.wanted)
  }
  return undefined
}

interface Block {
  readonly position: number
  /** Where the search ends. */
  readonly until: number
  readonly salt: number
}

/** Where to go on: behind the block, or at what claims more than it holds, of which so many bytes are `wanted`. */
interface Behind {
  readonly position: number
  readonly wanted: number
}

function look(block: Buffer, { position, until, salt }: Block): Found | Behind {
  const sums = new Sums(block)
  let at = 0
  for (; at + headerBytes <= block.length; at += 8) {
    const needed = neededBytes(block, at)
    const here = position + at
    if (needed === 0 || needed > until - here) continue
    if (at + needed > block.length) return { position: here, wanted: needed }
    const { from, to, seed, sum } = claimAt(block, at, here, salt)
    if (sums.of(from, to, seed) !== sum || checkRecord(block, at, here, salt) === undefined) continue
    return { position: here, commitStart: commitStartOf(block, at, here) }
  }
  return { position: position + at, wanted: 0 }
}
