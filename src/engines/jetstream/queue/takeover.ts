import { rm } from "node:fs/promises"
import { type Clock, sleep } from "../../../core/clock.ts"
import { DamagedError } from "../../../core/errors.ts"
import { decodeRecord, decodeWrites, encodeRecord, encodeWrites } from "../../parts/journal/record.ts"
import { type Store, tables, type Write } from "../../parts/store.ts"
import { openLmdbStore } from "../../parts/store-lmdb.ts"
import type { Journal } from "./journal.ts"

export interface TakeoverOptions {
  readonly journal: Journal
  readonly clock: Clock
  /** Which holder of the assignment this is. */
  readonly epoch: number
  /** For the rows; made, and emptied before. */
  readonly directory: string
  readonly stream: string
}

/** A shard's rows as the journal tells them, with nobody else writing. */
export interface Takeover {
  readonly local: Store
  readonly liveBytes: number
  readonly grownBytes: number
}

/** The row that says which holder of the assignment wrote last. */
const ownerKey = "owner"
/** Rows that are counted in one step. */
const stepRows = 5_000
const againAfterMs = 100
/** Without anything new in the journal. */
const triesMax = 50

/**
 * Makes this process the journal's only writer, and its rows anew from what others have written. Undefined where a later
 * holder of the assignment has written already. Throws JournalLostError, and DamagedError where a message does not check.
 */
export async function takeOver(options: TakeoverOptions): Promise<Takeover | undefined> {
  const { journal, epoch } = options
  const owner: Write = { table: "meta", key: ownerKey, value: Buffer.from(String(epoch)) }
  const claimed = await journal.claim(encodeRecord([encodeWrites([owner])], { more: false, begins: true }))
  const local = await replayJournal(options, claimed - 1)
  try {
    const before = local.get("meta", ownerKey)
    if (before === undefined || Number(Buffer.from(before).toString()) <= epoch) {
      await local.write([owner])
      const liveBytes = await countBytes(local)
      const { bytes } = await journal.state()
      return { local, liveBytes, grownBytes: Math.max(0, bytes - liveBytes) }
    }
  } catch (error) {
    await local.close()
    throw error
  }
  await local.close()
  return undefined
}

/**
 * The rows that the journal tells, up to its message `to`. Replays until nothing was dropped from under it; throws DamagedError
 * where it is not for that that messages are missing.
 */
export async function replayJournal(options: Omit<TakeoverOptions, "epoch">, to: number): Promise<Store> {
  const { directory, clock, stream } = options
  for (let tries = 0, first = -1; tries < triesMax; tries++) {
    const before = first
    first = (await options.journal.state()).first
    // What is dropped meanwhile makes it another journal, to be tried anew.
    if (first !== before) tries = 0
    await rm(directory, { recursive: true, force: true })
    const local = openLmdbStore(directory, { durable: false })
    try {
      if (await replay(options, local, to)) return local
    } catch (error) {
      await local.close()
      throw error
    }
    await local.close()
    await sleep(clock, againAfterMs)
  }
  throw new DamagedError(`${stream}: messages between its first and its last are missing`)
}

/**
 * Answers false where messages were missing: whoever had the journal before was just dropping old ones, or the server that
 * was asked has not got them yet.
 */
async function replay({ journal, stream }: Omit<TakeoverOptions, "epoch">, local: Store, to: number): Promise<boolean> {
  let next = (await journal.state()).first
  let parts: Buffer[] = []
  /** What was read is written while more is read. */
  let writing = Promise.resolve()
  try {
    for await (const messages of journal.read(next, to)) {
      const writes: Write[] = []
      for (const { sequence, data } of messages) {
        if (sequence !== next) return false
        next++
        const { more, begins, bytes } = decodeRecord(data, `${stream}, message ${sequence}`)
        if (begins) parts = []
        parts.push(bytes)
        if (more) continue
        for (const write of decodeWrites(parts.length === 1 ? bytes : Buffer.concat(parts))) writes.push(write)
        parts = []
      }
      await writing
      writing = local.write(writes)
      // Heard of at the next message, or at the end.
      writing.catch(() => undefined)
    }
  } finally {
    await writing
  }
  return true
}

async function countBytes(local: Store): Promise<number> {
  let size = 0
  for (const table of tables) {
    let rows = stepRows
    // Ends: with the rows: each step begins behind the last one.
    for (let start = "\0"; rows === stepRows; ) {
      rows = 0
      for (const { key, value } of local.range(table, { start, limit: stepRows })) {
        rows++
        start = `${key}\0`
        size += key.length + value.length
      }
      await new Promise(setImmediate)
    }
  }
  return size
}
