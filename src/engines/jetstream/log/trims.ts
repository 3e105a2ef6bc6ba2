import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import type { Logger } from "../../../core/logger.ts"
import { Bucket } from "../bucket.ts"
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

  /** Of a partition. */
  *all(partition: number): Generator<Trim> {
    const prefix = `trim.${partition}.`
    for (const { text } of this.#bucket?.range(prefix, prefix) ?? []) yield JSON.parse(text) as Trim
  }

  async close(): Promise<void> {
    await this.#bucket?.close()
  }
}

/** A name's characters are more than a bucket's key may have. */
function keyOf(partition: number, tenant: string, topic: string): string {
  return `trim.${partition}.${Buffer.from(`${tenant}/${topic}`).toString("base64url")}`
}
