import { type NatsConnection, nuid } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../core/clock.ts"
import { ClosedError, ConflictError, OverloadError, UnavailableError } from "../../core/errors.ts"
import type { Logger } from "../../core/logger.ts"
import { startMsMax } from "../../core/patience.ts"
import { Troubles } from "../../core/troubles.ts"
import { follow, type Latest } from "./follow.ts"
import { bucketPlan, bucketStream } from "./plans.ts"
import { isWrongLastSequence, reasons } from "./reasons.ts"
import { ask, JetStreamError, type Stored, store } from "./request.ts"
import { ensureStream } from "./streams.ts"

/** What a bucket holds under a key. */
export interface Entry {
  readonly key: string
  readonly text: string
  readonly revision: number
}

/** A change of a key: what it is now, or that it is no more. */
export type EntryChange = Entry | { readonly key: string; readonly text?: never; readonly revision: number }

export interface BucketOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly log: Logger
  /** As the key-value stores of NATS name it. */
  readonly name: string
  /** Of one that is missing; undefined: it has to be there. */
  readonly replicas: number | undefined
}

/** How long a deletion is told to those who were away; who was away longer reads all anew. */
const markerTtl = "1h"
const operation = "KV-Operation"
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
    const { live, text, revision } = await this.#newest(key)
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
        const found = await this.#newest(key)
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
      const found = await this.#newest(key)
      const actual = found.live ? found.revision : 0
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

  /** What the servers have under a key now; 0 where they have nothing. */
  async revisionOf(key: string): Promise<number> {
    const found = await this.#newest(key)
    return found.live ? found.revision : 0
  }

  async close(): Promise<void> {
    this.#stop.abort()
    for (const { resolve } of this.#waiting) resolve()
    await this.#done
  }

  async #write(key: string, text: string | undefined, expected: number | undefined, msMax?: number): Promise<number> {
    if (this.#stop.signal.aborted) throw new ClosedError()
    const { nats, clock } = this.#options
    const messageId = nuid.next()
    let stored: Stored
    try {
      stored = await store({
        nats,
        clock,
        subject: this.#subject(key),
        payload: text ?? "",
        messageId,
        ...(msMax !== undefined && { msMax }),
        headers: {
          ...(expected !== undefined && { "Nats-Expected-Last-Subject-Sequence": String(expected) }),
          ...(text === undefined && { [operation]: "DEL", "Nats-TTL": markerTtl }),
        },
      })
    } catch (error) {
      if (error instanceof JetStreamError && !isConflict(error))
        throw new UnavailableError(`NATS cannot write ${key}: ${error.message}`, { cause: error })
      if (!isConflict(error)) throw error
      // An answer that was lost: then it is our own write that came first.
      const found = await this.#newest(key)
      if (found.messageId !== messageId) throw error
      stored = { seq: found.revision }
    }
    await this.#seenUpTo(stored.seq)
    return stored.seq
  }

  async #refuse(key: string, expected: number, found: Newest): Promise<never> {
    await this.#seenUpTo(found.revision)
    throw new ConflictError(key, expected, found.live ? found.revision : 0)
  }

  /** As the leader has it. */
  async #newest(key: string): Promise<Newest> {
    const { nats, name } = this.#options
    try {
      const { message } = await ask<{ message: { seq: number; hdrs?: string; data?: string } }>(
        nats,
        `STREAM.MSG.GET.${bucketStream(name)}`,
        { last_by_subj: this.#subject(key) },
      )
      const lines = Buffer.from(message.hdrs ?? "", "base64")
        .toString("latin1")
        .split("\r\n")
      const messageId = lines.find((line) => line.startsWith("Nats-Msg-Id:"))?.slice("Nats-Msg-Id:".length)
      const deleted = lines.some((line) => line.startsWith(`${operation}:`) || line.startsWith("Nats-Marker-Reason:"))
      const text = Buffer.from(message.data ?? "", "base64").toString()
      return { revision: message.seq, live: !deleted, text, messageId: messageId?.trim() }
    } catch (error) {
      if (!(error instanceof JetStreamError)) throw error
      if (error.code === reasons.noMessage) return { revision: 0, live: false, text: "", messageId: undefined }
      throw new UnavailableError(`NATS cannot read ${key}: ${error.message}`, { cause: error })
    }
  }

  #take({ subject, sequence, message }: Latest): void {
    const key = keyOf(subject.slice(`$KV.${this.#options.name}.`.length))
    this.#seen = Math.max(this.#seen, sequence)
    this.#missing?.delete(key)
    const known = this.#entries.get(key)
    if (known === undefined || known.revision < sequence) {
      const deleted = message.headers?.has(operation) || message.headers?.has("Nats-Marker-Reason")
      if (deleted) this.#forget(key, sequence)
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

  #subject(key: string): string {
    return `$KV.${this.#options.name}.${tokenOf(key)}`
  }
}

interface Newest {
  /** Of the value, or of what marks that it was deleted; 0: nothing is there. */
  readonly revision: number
  readonly live: boolean
  readonly text: string
  readonly messageId: string | undefined
}

function busy(key: string): OverloadError {
  return new OverloadError(1_000, `others keep changing ${key}`)
}

function isConflict(error: unknown): boolean {
  return error instanceof JetStreamError && isWrongLastSequence(error.code)
}

/** Keys of NATS are made of letters, digits and `-/_=.`; a dot separates, and `=` escapes here. */
function tokenOf(key: string): string {
  return key.replace(/[^A-Za-z0-9_/-]/gu, (text) =>
    [...Buffer.from(text)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  )
}

function keyOf(token: string): string {
  return token.includes("=") ? decodeURIComponent(token.replaceAll("=", "%")) : token
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
