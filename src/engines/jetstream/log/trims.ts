import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { Logger } from "../../../core/logger.ts"
import { decodeRanges, encodeRanges, type Ranges } from "../../parts/index/gone.ts"
import { Bucket, type Entry } from "../bucket.ts"
import type { Names } from "../names.ts"
import { bucketStream } from "../plans.ts"
import { findStream } from "../streams.ts"

/** What retention dropped of a topic. */
export interface Trim {
  readonly tenant: string
  readonly topic: string
  /** What the topic had before this sequence is gone. */
  readonly sequence: number
  /** Events dropped so far, by all trims. */
  readonly events: number
  /** It was begun, and may not have been finished: of the events, so many may still be there. */
  readonly open?: number
}

/** What of a topic was dropped event by event. */
export interface Gone {
  readonly tenant: string
  readonly topic: string
  /** How often its windows were changed. */
  readonly version: number
  /** Those that were changed last. */
  readonly changed: readonly number[]
  /** The last sequence of all. */
  readonly last: number
  /** Events dropped so far. */
  readonly events: number
  /** Sequences that are being dropped, and may still be there. */
  readonly open?: readonly number[]
}

/** A window of a topic's sequences, with those that are gone. */
export interface GoneWindow {
  readonly window: number
  readonly ranges: Ranges
}

/** Sequences that one window tells of: as much as fits into a message many times. */
export const goneWindow = 2 ** 14

export interface TrimsOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly replicas: number
  /** Nothing is made or written. */
  readonly readOnly?: boolean
  readonly clock: Clock
  readonly log: Logger
}

/** What retention dropped, told to all processes, and to audits: what is missing otherwise is damage. */
export class Trims {
  /** Undefined where nothing was ever dropped, and nothing is to be written. */
  readonly #bucket: Bucket | undefined

  private constructor(bucket: Bucket | undefined) {
    this.#bucket = bucket
  }

  static async open({ nats, names, replicas, clock, log, readOnly = false }: TrimsOptions): Promise<Trims> {
    const name = names.auditBucket
    if (readOnly && (await findStream(nats, clock, bucketStream(name))) === undefined) return new Trims(undefined)
    return new Trims(await Bucket.open({ nats, clock, log, name, replicas: readOnly ? undefined : replicas }))
  }

  get(partition: number, tenant: string, topic: string): Trim | undefined {
    const entry = this.#bucket?.get(keyOf(partition, tenant, topic))
    return entry && (JSON.parse(entry.text) as Trim)
  }

  /** As the servers have it now. Throws UnavailableError. */
  async fetch(partition: number, tenant: string, topic: string): Promise<Trim | undefined> {
    const entry = await this.#bucket?.fetch(keyOf(partition, tenant, topic))
    return entry && (JSON.parse(entry.text) as Trim)
  }

  async put(partition: number, trim: Trim): Promise<void> {
    await this.#bucket?.put(keyOf(partition, trim.tenant, trim.topic), JSON.stringify(trim))
  }

  gone(partition: number, tenant: string, topic: string): (Gone & { readonly revision: number }) | undefined {
    const entry = this.#bucket?.get(goneKey(partition, tenant, topic))
    return entry && { ...(JSON.parse(entry.text) as Gone), revision: entry.revision }
  }

  /** The windows that changed after this version. */
  *goneSince(partition: number, tenant: string, topic: string, version: number): Generator<GoneWindow> {
    const prefix = `${goneKey(partition, tenant, topic)}.`
    const told = this.gone(partition, tenant, topic)
    const isNext = told?.version === version + 1
    const entries = isNext ? this.#windows(prefix, told.changed) : (this.#bucket?.range(prefix, prefix) ?? [])
    for (const { key, text } of entries) {
      const dot = text.indexOf(".")
      if (Number(text.slice(0, dot)) <= version) continue
      const window = Number(key.slice(prefix.length))
      yield { window, ranges: decodeRanges(Buffer.from(text.slice(dot + 1), "base64"), window * goneWindow) }
    }
  }

  /** These windows alone: there may be very many. */
  #windows(prefix: string, changed: readonly number[]): readonly Entry[] {
    return changed.flatMap((window) => this.#bucket?.get(`${prefix}${window}`) ?? [])
  }

  /** Whether it was told of a sequence that it is gone, as the servers have it now. Throws UnavailableError. */
  async isGone(partition: number, tenant: string, topic: string, sequence: number): Promise<boolean> {
    const window = Math.floor(sequence / goneWindow)
    const entry = await this.#bucket?.fetch(`${goneKey(partition, tenant, topic)}.${window}`)
    if (entry === undefined) return false
    const ranges = decodeRanges(
      Buffer.from(entry.text.slice(entry.text.indexOf(".") + 1), "base64"),
      window * goneWindow,
    )
    return ranges.some((from, i) => i % 2 === 0 && from <= sequence && sequence <= ranges[i + 1]!)
  }

  /** All of it or nothing. Throws ConflictError where somebody else came first; `revision` 0: there was none. */
  async putGone(
    partition: number,
    gone: Gone,
    revision: number,
    rows: ReadonlyMap<number, Ranges> = new Map(),
  ): Promise<number> {
    const key = goneKey(partition, gone.tenant, gone.topic)
    const windows = Array.from(rows, ([window, ranges]) => {
      const bytes = Buffer.from(encodeRanges(ranges, window * goneWindow)).toString("base64")
      return { key: `${key}.${window}`, text: `${gone.version}.${bytes}` }
    })
    const head = { key, text: JSON.stringify(gone), expected: revision }
    const revisions = await this.#bucket!.change([...windows, head], [])
    return revisions.at(-1)!
  }

  /** Forgets the windows that lie before a sequence. */
  async forgetGone(partition: number, tenant: string, topic: string, sequence: number): Promise<void> {
    const prefix = `${goneKey(partition, tenant, topic)}.`
    const keys = Array.from(this.#bucket?.range(prefix, prefix) ?? [], ({ key }) => key)
    for (const key of keys) {
      if ((Number(key.slice(prefix.length)) + 1) * goneWindow <= sequence) await this.#bucket?.delete(key)
    }
  }

  /** Of a partition. */
  *allGone(partition: number): Generator<Gone> {
    const prefix = `gone.${partition}.`
    for (const { key, text } of this.#bucket?.range(prefix, prefix) ?? []) {
      if (!key.includes(".", prefix.length)) yield JSON.parse(text) as Gone
    }
  }

  /** Of a partition. */
  *all(partition: number): Generator<Trim> {
    const prefix = `trim.${partition}.`
    for (const { text } of this.#bucket?.range(prefix, prefix) ?? []) yield JSON.parse(text) as Trim
  }

  async close(): Promise<void> {
    await this.#bucket?.close()
  }
}

function keyOf(partition: number, tenant: string, topic: string): string {
  return `trim.${partition}.${nameOf(tenant, topic)}`
}

function goneKey(partition: number, tenant: string, topic: string): string {
  return `gone.${partition}.${nameOf(tenant, topic)}`
}

/** A name's characters are more than a bucket's key may have. */
function nameOf(tenant: string, topic: string): string {
  return Buffer.from(`${tenant}/${topic}`).toString("base64url")
}
