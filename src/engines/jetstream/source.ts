import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Catalog } from "../../core/catalog.ts"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { StorageError } from "../../core/errors.ts"
import type { EventLog } from "../../core/log.ts"
import type { Logger } from "../../core/logger.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import { type JetStreamCatalog, openCatalog } from "./catalog.ts"
import { connectNats, isCut, NatsRefusedError } from "./connection.ts"
import { auditStream } from "./log/audit-report.ts"
import { openJetStreamLog } from "./log/log.ts"
import { createNames, type Names } from "./names.ts"
import { findPartitions } from "./partitions.ts"
import { plannedStreams } from "./plans.ts"
import { QueueReading } from "./queue/reading.ts"
import { hasLivingProcess } from "./scale.ts"
import { orRefused } from "./start-requests.ts"
import { findStream } from "./streams.ts"

export interface SourceOptions {
  readonly servers: readonly string[]
  readonly prefix: string
  readonly credentialsFile?: string
  readonly caFile?: string
  /** For what can be made again at any time. */
  readonly directory: string
  /** Refuse where one of the hub's processes runs. */
  readonly atRest: boolean
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Opens what a hub keeps in NATS, to be read: nothing is made, changed or claimed there, and partitions and copies are what they
 * are. Calls that would write throw StorageError. Throws NatsRefusedError where there is no such hub, or where it runs.
 */
export async function openJetStreamSource(options: SourceOptions): Promise<Engine> {
  const closing: Closing = []
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one()
  }
  try {
    return { ...(await orRefused(() => open(options, closing))), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Closes what was opened, in reverse. */
type Closing = (() => Promise<unknown>)[]

async function open(options: SourceOptions, closing: Closing): Promise<Omit<Engine, "close">> {
  const { clock, log, directory } = options
  const nats = await connectNats(options)
  closing.push(() => nats.close())
  const names = createNames(options.prefix)
  const found = await findHub(nats, names, options)
  const { partitions } = found
  const catalog = await openCatalog({ nats, clock, log, name: names.catalogBucket, replicas: undefined })
  closing.push(() => catalog.close())
  const parts = { nats, names, clock, log }
  const sized = { ...parts, ...found, pendingBytesMax: 0, readOnly: true }
  const events = await openJetStreamLog({ ...sized, directory: join(directory, "log") })
  closing.push(() => events.close())
  const queue = new QueueReading({ ...parts, shards: partitions, directory: join(directory, "queue") })
  closing.push(() => queue.close())
  return {
    log: readOnlyLog(events),
    catalog: readOnlyCatalog(catalog),
    queue: readOnlyQueue(queue),
    assignments: { take: refuseToWrite },
    outage: () => (isCut(nats) ? "no NATS server answers" : undefined),
    health: () => events.health(),
    troubles: () => [],
    warnings: () => [],
    audit: (partition, asked) => auditStream({ ...parts, partition, ...asked }),
    figures: () => events.figures(),
    backlog: () => [],
  }
}

/** What the hub's streams say of it. */
async function findHub(nats: NatsConnection, names: Names, { clock, prefix, atRest }: SourceOptions) {
  const partitions = await findPartitions(nats, clock, names)
  if (partitions === undefined) {
    throw new NatsRefusedError(`no hub keeps its events there under nats.prefix ${prefix}`, [
      "Name its own with --nats-prefix.",
    ])
  }
  const needed = plannedStreams({ names, partitions, replicas: 1, dedupeWindowMsMax: 0 })
    .map(({ name }) => name)
    .filter((name) => name !== `KV_${names.auditBucket}`)
  const found = await Promise.all(needed.map((name) => findStream(nats, clock, name)))
  const missing = needed.filter((_, i) => found[i] === undefined)
  if (missing.length > 0) {
    throw new NatsRefusedError(`the hub's streams are not all there: ${missing.join(", ")}`, [
      "Put them back from a backup; what they held is not to be found elsewhere.",
    ])
  }
  if (atRest && (await hasLivingProcess(nats, clock, names))) {
    throw new NatsRefusedError("a process of the hub runs", ["Stop it first: what is moved has to be at rest."])
  }
  const replicas = Math.max(...found.map((stream) => stream!.config.num_replicas))
  return { partitions, replicas, dedupeWindowMsMax: 0 }
}

function refuseToWrite(): never {
  throw new StorageError("this hub's data were opened to be read only")
}

function readOnlyLog(log: EventLog): EventLog {
  return {
    partitions: log.partitions,
    partitionOf: (address) => log.partitionOf(address),
    append: async () => refuseToWrite(),
    read: (options) => log.read(options),
    get: (cursor) => log.get(cursor),
    find: (address, identity) => log.find(address, identity),
    head: (partition) => log.head(partition),
    oldest: (partition) => log.oldest(partition),
    at: (time, partition) => log.at(time, partition),
    last: (address) => log.last(address),
    compare: (a, b) => log.compare(a, b),
    stats: (address, after, until) => log.stats(address, after, until),
    dropped: (address) => log.dropped(address),
    trim: async () => refuseToWrite(),
    drop: async () => refuseToWrite(),
    trimmable: (address, keep, needed) => log.trimmable(address, keep, needed),
  }
}

function readOnlyCatalog(catalog: JetStreamCatalog): Catalog {
  return {
    get: (key, options) => catalog.get(key, options),
    list: (prefix, options) => catalog.list(prefix, options),
    put: async () => refuseToWrite(),
    delete: async () => refuseToWrite(),
    change: async () => refuseToWrite(),
    watch: (prefix, stop) => catalog.watch(prefix, stop),
  }
}

/** What a migration asks for is answered; for the rest somebody has to hold the shards. */
function readOnlyQueue(reading: QueueReading): DeliveryQueue {
  return new Proxy({} as DeliveryQueue, {
    get(_, name) {
      if (name === "carried") return () => reading.carried()
      if (name === "position") return (reader: string) => reading.position(reader)
      return name === "then" ? undefined : async () => refuseToWrite()
    },
  })
}
