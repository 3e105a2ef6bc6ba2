import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import type { Logger } from "../../core/logger.ts"

export interface JetStreamOptions {
  /** `nats://host:4222`, `tls://…` */
  readonly servers: readonly string[]
  readonly prefix: string
  readonly partitions: number
  readonly replicas: number
  readonly dedupeWindowMsMax: number
  readonly credentialsFile?: string
  /** What `redcar nats init` made to issue credentials of tenants with. */
  readonly issuerFile?: string
  /** Where a server tells how it writes to disk: `http://host:8222`. */
  readonly monitor?: string
  /** For what can be made again at any time: indexes, and the queue as its journal tells it. */
  readonly directory: string
  /** Whether this process delivers. */
  readonly serveQueue: boolean
  readonly pendingBytesMax: number
  readonly clock: Clock
  readonly log: Logger
}

/** Opens the engine that keeps everything in NATS JetStream. */
export async function openJetStreamEngine(options: JetStreamOptions): Promise<Engine> {
  throw new Error(`not made yet: ${options.prefix}`)
}
