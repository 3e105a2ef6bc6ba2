import type { NatsConnection } from "@nats-io/nats-core"
import type { Expectation } from "../../core/catalog.ts"
import { type Clock, sleep } from "../../core/clock.ts"
import { ClosedError, ConflictError, OverloadError, UnavailableError } from "../../core/errors.ts"
import type { Logger } from "../../core/logger.ts"
import { startMsMax } from "../../core/start-retry.ts"
import { Troubles } from "../../core/troubles.ts"
import { conditionOf, isDeletion, keyOf, type Newest, newestIn, revisionIn, storingOf } from "./bucket-messages.ts"
import { follow, type Latest } from "./follow.ts"
import { bucketPlan, bucketStream } from "./plans.ts"
import { isWrongLastSequence, reasons } from "./reasons.ts"
import { JetStreamError, type Stored, type Storing, store, storeAll } from "./request.ts"
import { ensureStream } from "./streams.ts"

/** What a bucket holds under a key. */
export interface Entry {
  readonly key: string
  readonly text: string
  readonly revision: number
}

/** A change of a key: what it is now, or that it is no more. */
export type EntryChange = Entry | { readonly key: string; readonly text?: never; readonly revision: number }

/** One write of several. */
export interface BucketWrite {
  readonly key: string
  /** Undefined deletes. */
  readonly text: string | undefined
  readonly expected?: number
}

export interface BucketOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly log: Logger
  /** As the key-value stores of NATS name it. */
  readonly name: string
  /** Of one that is missing; undefined: it has to be there. */
  readonly replicas: number | undefined
}

const onItsWayMs = 5
/** How long a write is tried against those of others, and how long what was written may take to come by. */
const conflictsMsMax = 8_000
const seenMsMax = 10_000

/**
 * A key-value bucket of NATS, with all that it holds in memory. What is read may be a moment old, but never older than what
 * this process has written or was refused for.
 */
export class Bucket {
  readonly #options: BucketOptions
  readonly #stop = new AbortController()
  readonly #entries = new Map<string, Entry>()
  readonly #listeners = new Set<(change: EntryChange) => void>()
  readonly #waiting = new Set<{ readonly revision: number; resolve(): void }>()
  readonly #done: Promise<void>
  /** Keys that a new start has not told yet; undefined when it has told all. */
  #missing: Set<string> | undefined
  /** Everything up to here has been seen. */
  #seen = 0
  #keys: readonly string[] | undefined
  #current = Promise.withResolvers<void>()

  private constructor(options: BucketOptions) {
    this.#options = options
    const { nats, clock, log, name } = options
    const troubles = new Troubles(log)
    const following = `following the bucket ${name}`
    this.#done = follow({
      nats,
      clock,
      stream: bucketStream(name),
      subjects: `$KV.${name}.>`,
      stop: this.#stop.signal,
      seen: (latest) => this.#take(latest),
      restarted: () => {
        this.#missing = new Set(this.#entries.keys())
      },
      current: () => {
        troubles.over(following)
        this.#isCurrent()
      },
      failed: (error) => {
        const line = `the bucket ${name} of NATS cannot be followed; it is tried again`
        troubles.met(following, line, { why: String(error) })
      },
    })
  }

  /** Makes the bucket where it is missing; resolves when all that it holds is in memory. Throws UnavailableError. */
  static async open(options: BucketOptions): Promise<Bucket> {
    const { nats, clock, name, replicas } = options
    if (replicas !== undefined) await ensureStream(nats, clock, bucketPlan(name, replicas))
    const bucket = new Bucket(options)
    if (await bucket.#isRead()) return bucket
    await bucket.close()
    throw new UnavailableError(`NATS does not tell what ${name} holds`)
  }

  /** Whether all that it holds has come to memory, within what a start bears. */
  async #isRead(): Promise<boolean> {
    const read = new AbortController()
    const inTime = sleep(this.#options.clock, startMsMax, read.signal).then(() => read.signal.aborted)
    void this.#current.promise.then(() => read.abort())
    return inTime
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  /** As the servers have it now. Throws UnavailableError. */
  async fetch(key: string): Promise<Entry | undefined> {
    const { live, text, revision } = await newestIn(this.#options, key)
    return live ? { key, text, revision } : undefined
  }

  /** In key order, of keys from `start` on that begin with `prefix`. */
  *range(prefix: string, start: string): Generator<Entry> {
    const keys = this.#sorted()
    for (let i = lowerBound(keys, start); i < keys.length && keys[i]!.startsWith(prefix); i++) {
      const entry = this.#entries.get(keys[i]!)
      if (entry !== undefined) yield entry
    }
  }

  /** Calls `changed` with every change that memory takes, in order; the answer ends it. */
  listen(changed: (change: EntryChange) => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  /**
   * Resolves with the revision when it is durable and can be read here. `msMax`: how long it is tried. Throws ConflictError,
   * OverloadError.
   */
  async put(key: string, text: string, expected?: number, msMax?: number): Promise<number> {
    if (expected === undefined) return this.#write(key, text, undefined, msMax)
    const until = this.#options.clock.steady() + (msMax ?? conflictsMsMax)
    for (let last = expected; this.#options.clock.steady() < until; ) {
      try {
        return await this.#write(key, text, last, msMax)
      } catch (error) {
        if (!isConflict(error)) throw error
        const found = await newestIn(this.#options, key)
        if (found.revision === last) {
          // What came first is on its way to the other servers, and cannot be read yet.
          await sleep(this.#options.clock, onItsWayMs)
          continue
        }
        if (expected !== 0 || found.live) return this.#refuse(key, expected, found)
        last = found.revision
      }
    }
    throw busy(key)
  }

  /** Resolves when it is durable; false where nothing was there. Throws ConflictError, OverloadError. */
  async delete(key: string, expected?: number): Promise<boolean> {
    const until = this.#options.clock.steady() + conflictsMsMax
    while (this.#options.clock.steady() < until) {
      const found = await newestIn(this.#options, key)
      const actual = revisionIn(found)
      if (expected !== undefined && expected !== actual) return this.#refuse(key, expected, found)
      if (actual === 0) return false
      try {
        await this.#write(key, undefined, actual)
        return true
      } catch (error) {
        if (!isConflict(error)) throw error
        await sleep(this.#options.clock, onItsWayMs)
      }
    }
    throw busy(key)
  }

  /**
   * All of it or nothing, and only where what is expected holds. Resolves with the revisions, 0 of what is deleted, when it is
   * durable and can be read here. Throws ConflictError, OverloadError, UnavailableError.
   */
  async change(writes: readonly BucketWrite[], conditions: readonly Expectation[]): Promise<readonly number[]> {
    const until = this.#options.clock.steady() + conflictsMsMax
    while (this.#options.clock.steady() < until) {
      const found = await this.#found([...writes, ...conditions])
      for (const { key, expected } of [...conditions, ...writes]) {
        const newest = found.get(key)!
        if (expected !== undefined && expected !== revisionIn(newest)) return this.#refuse(key, expected, newest)
      }
      const made = writes.filter(({ key, text }) => text !== undefined || found.get(key)!.live)
      const asked = [...conditions, ...writes.filter((write) => !made.includes(write))]
      if (made.length === 0) return writes.map(() => 0)
      try {
        const revisions = await this.#writeAll(made, asked, found)
        return writes.map((write) => (write.text === undefined ? 0 : revisions[made.indexOf(write)]!))
      } catch (error) {
        if (!isConflict(error)) throw error
        await sleep(this.#options.clock, onItsWayMs)
      }
    }
    throw busy(writes.map(({ key }) => key).join(", "))
  }

  /** What the servers have under a key now; 0 where they have nothing. */
  async revisionOf(key: string): Promise<number> {
    return revisionIn(await newestIn(this.#options, key))
  }

  async close(): Promise<void> {
    this.#stop.abort()
    for (const { resolve } of this.#waiting) resolve()
    await this.#done
  }

  async #write(key: string, text: string | undefined, expected: number | undefined, msMax?: number): Promise<number> {
    if (this.#stop.signal.aborted) throw new ClosedError()
    const { nats, clock } = this.#options
    const storing = storingOf(this.#options, key, text, expected)
    let stored: Stored
    try {
      stored = await store({ nats, clock, ...storing, ...(msMax !== undefined && { msMax }) })
    } catch (error) {
      if (error instanceof JetStreamError && !isConflict(error))
        throw new UnavailableError(`NATS cannot write ${key}: ${error.message}`, { cause: error })
      if (!isConflict(error)) throw error
      // An answer that was lost: then it is our own write that came first.
      const found = await newestIn(this.#options, key)
      if (found.messageId !== storing.messageId) throw error
      stored = { seq: found.revision }
    }
    await this.#seenUpTo(stored.seq)
    return stored.seq
  }

  async #found(of: readonly { readonly key: string }[]): Promise<ReadonlyMap<string, Newest>> {
    return new Map(await Promise.all(of.map(async ({ key }) => [key, await newestIn(this.#options, key)] as const)))
  }

  /** Together, where all that is written or asked for is still as it was found, as far as that is expected. */
  async #writeAll(
    writes: readonly BucketWrite[],
    asked: readonly { readonly key: string; readonly expected?: number }[],
    found: ReadonlyMap<string, Newest>,
  ): Promise<readonly number[]> {
    if (this.#stop.signal.aborted) throw new ClosedError()
    const carried = asked.map(({ key }): Storing => conditionOf(this.#options, key, found.get(key)!.revision))
    const own = writes.map(({ key, text, expected }): Storing => {
      const last = expected === undefined && text !== undefined ? undefined : found.get(key)!.revision
      return storingOf(this.#options, key, text, last)
    })
    try {
      const { seq } = await storeAll(this.#options, [...carried, ...own])
      await this.#seenUpTo(seq)
      return own.map((_, i) => seq - own.length + 1 + i)
    } catch (error) {
      if (!(error instanceof JetStreamError) || isConflict(error)) throw error
      const keys = writes.map(({ key }) => key).join(", ")
      if (error.code !== reasons.batchHoldsDuplicate)
        throw new UnavailableError(`NATS cannot write ${keys}: ${error.message}`, { cause: error })
      return this.#storedBefore(writes, own)
    }
  }

  /** Of writes that were stored, and the answer lost. */
  async #storedBefore(writes: readonly BucketWrite[], own: readonly Storing[]): Promise<readonly number[]> {
    for (const [i, { key }] of writes.entries()) {
      const { messageId, revision } = await newestIn(this.#options, key)
      if (messageId !== own[i]!.messageId) continue
      await this.#seenUpTo(revision - i + own.length - 1)
      return own.map((_, at) => revision - i + at)
    }
    throw new UnavailableError("NATS has not answered, and what was written has been written over since")
  }

  async #refuse(key: string, expected: number, found: Newest): Promise<never> {
    await this.#seenUpTo(found.revision)
    throw new ConflictError(key, expected, revisionIn(found))
  }

  #take({ subject, sequence, message }: Latest): void {
    const key = keyOf(this.#options, subject)
    this.#seen = Math.max(this.#seen, sequence)
    this.#missing?.delete(key)
    const known = this.#entries.get(key)
    if (known === undefined || known.revision < sequence) {
      if (isDeletion(message.headers)) this.#forget(key, sequence)
      else this.#keep({ key, text: message.string(), revision: sequence })
    }
    this.#wake()
  }

  #keep(entry: Entry): void {
    if (!this.#entries.has(entry.key)) this.#keys = undefined
    this.#entries.set(entry.key, entry)
    for (const listener of this.#listeners) listener(entry)
  }

  #forget(key: string, revision: number): void {
    if (!this.#entries.delete(key)) return
    this.#keys = undefined
    for (const listener of this.#listeners) listener({ key, revision })
  }

  #isCurrent(): void {
    for (const key of this.#missing ?? []) this.#forget(key, this.#seen)
    this.#missing = undefined
    this.#current.resolve()
    this.#wake()
  }

  /** Throws UnavailableError where the bucket cannot be followed so far. */
  #seenUpTo(revision: number): Promise<void> {
    if (revision <= this.#seen || this.#stop.signal.aborted) return Promise.resolve()
    const { clock, name } = this.#options
    return new Promise((resolve, reject) => {
      const seen = () => {
        cancel()
        resolve()
      }
      const waiting = { revision, resolve: seen }
      const cancel = clock.after(seenMsMax, () => {
        this.#waiting.delete(waiting)
        reject(new UnavailableError(`NATS does not tell what ${name} holds; what was written may be there`))
      })
      this.#waiting.add(waiting)
    })
  }

  #wake(): void {
    for (const waiting of this.#waiting) {
      if (waiting.revision > this.#seen) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  #sorted(): readonly string[] {
    this.#keys ??= [...this.#entries.keys()].sort()
    return this.#keys
  }
}

function busy(key: string): OverloadError {
  return new OverloadError(1_000, `others keep changing ${key}`)
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamError && isWrongLastSequence(error.code)
}

/** The place of the first that is not before `text`. */
function lowerBound(sorted: readonly string[], text: string): number {
  let low = 0
  for (let high = sorted.length; low < high; ) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < text) low = middle + 1
    else high = middle
  }
  return low
}
