import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import type { Clock } from "../../core/clock.ts"
import type { TenantCredentials } from "../../core/credentials.ts"
import type { Engine } from "../../core/engine.ts"
import type { Logger } from "../../core/logger.ts"
import type { Condition } from "../../core/troubles.ts"
import { refusedOr } from "../parts/directory-refused.ts"
import { lockDirectory } from "../parts/lock.ts"
import { openAssignments } from "./assignments.ts"
import { Bucket } from "./bucket.ts"
import { openCatalog } from "./catalog.ts"
import { connectNats, durabilityWarnings, isCut, readNatsFile } from "./connection.ts"
import { Copies } from "./copies.ts"
import { type Issuer, parseIssuer } from "./credentials/issuer.ts"
import { createTenantCredentials, type TenantCredentialsOptions } from "./credentials/tenant-credentials.ts"
import { auditStream } from "./log/audit-report.ts"
import { openInbox } from "./log/inbox.ts"
import { openJetStreamLog } from "./log/log.ts"
import type { MembershipTimes } from "./membership.ts"
import { createNames } from "./names.ts"
import { agreeOnPartitions, findPartitions, refuseOtherPartitions } from "./partitions.ts"
import { plannedStreams } from "./plans.ts"
import { openJetStreamQueue } from "./queue/queue.ts"
import { orRefused } from "./start-requests.ts"
import { refuseOtherStreams } from "./streams.ts"

export interface JetStreamOptions {
  /** `nats://host:4222`, `tls://…` */
  readonly servers: readonly string[]
  /** What the names of all streams, subjects and buckets begin with. */
  readonly prefix: string
  /** How many streams the log is in; fixed when they are made. */
  readonly partitions: number
  /** Servers that keep a copy. */
  readonly replicas: number
  readonly dedupeWindowMsMax: number
  readonly credentialsFile?: string
  /** Certificates of who signed the servers' own. */
  readonly caFile?: string
  /** What signs the credentials of tenants: made by `redcar nats init`. */
  readonly issuerFile?: string
  /** Where a server tells how it writes to disk: `http://host:8222`. */
  readonly monitor?: string
  /** For what can be made again at any time: indexes, and the queue as its journal tells it. One process has it at a time. */
  readonly directory: string
  /** Whether this process delivers. */
  readonly serveQueue: boolean
  /** Holds assignments only where no other process does. Default: no. */
  readonly yields?: boolean
  readonly pendingBytesMax: number
  /** The largest event; default: what fits a server as it comes. */
  readonly eventBytesMax?: number
  readonly clock: Clock
  readonly log: Logger
  readonly membershipTimes?: MembershipTimes
  /** Between two looks at whether streams have all their copies; default 5 s. */
  readonly copiesLookMs?: number
  /** Told what could be lost before anything is made or claimed; what it throws is why the engine does not open. */
  accept?(warnings: readonly string[]): void
}

/** Closes what was opened, in reverse. */
type Closing = (() => Promise<unknown>)[]

/**
 * Opens the engine that keeps everything in NATS JetStream, so that any number of processes can use it. Throws
 * NatsRefusedError, which says what to do, and DirectoryLockedError.
 */
export async function openJetStreamEngine(options: JetStreamOptions): Promise<Engine> {
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

async function open(options: JetStreamOptions, closing: Closing): Promise<Omit<Engine, "close">> {
  const { clock, log, partitions, replicas, directory, dedupeWindowMsMax, pendingBytesMax } = options
  const issuer = options.issuerFile === undefined ? undefined : await issuerOf(options.issuerFile)
  const { nats, names, streams, warnings } = await enter(options, closing)
  closing.push(await holdDirectory(directory))
  const bucket = { nats, clock, log, replicas }
  const catalog = await openCatalog({ ...bucket, name: names.catalogBucket })
  closing.push(() => catalog.close())
  const shared = await Bucket.open({ ...bucket, name: names.assignmentsBucket })
  closing.push(() => shared.close())
  await agreeOnPartitions(shared, clock, partitions)
  const { membershipTimes: times, yields = false } = options
  const assignments = openAssignments({ bucket: shared, clock, log, yields, ...(times && { times }) })
  closing.push(() => assignments.close())
  const credentials = issuer && openCredentials(options, issuer, { nats, names, catalog })
  const parts = { nats, names, replicas, clock, log, pendingBytesMax }
  const events = await openJetStreamLog({ ...parts, partitions, dedupeWindowMsMax, directory: join(directory, "log") })
  closing.push(() => events.close())
  const inbox = await openInbox(parts)
  closing.push(() => inbox.close())
  const queue = await openJetStreamQueue({
    ...parts,
    shards: partitions,
    assignments,
    serve: options.serveQueue,
    directory: join(directory, "queue"),
  })
  closing.push(() => queue.close())
  const { copiesLookMs: lookMs } = options
  const copies = new Copies({ nats, clock, log, streams, ...(lookMs !== undefined && { lookMs }) })
  closing.push(() => copies.close())
  return {
    log: events,
    queue,
    catalog,
    assignments,
    inbox,
    ...(credentials && { credentials }),
    dedupeWindowMsMax,
    outage: () => (isCut(nats) ? "no NATS server answers" : undefined),
    health: () => [...events.health(), ...queue.health(), ...copies.health()],
    troubles: () => [...events.troubles(), ...queue.health().map(conditionOf)],
    warnings: () => warnings,
    audit: (partition, asked) => auditStream({ nats, names, partition, clock, log, ...asked }),
    figures: () => ({ ...events.figures(), ...queue.figures() }),
    backlog: () => queue.backlog(),
  }
}

/** Answers what gives it back. Throws DirectoryLockedError and DirectoryRefusedError. */
async function holdDirectory(directory: string): Promise<() => Promise<void>> {
  try {
    await mkdir(directory, { recursive: true })
    return (await lockDirectory(directory)).release
  } catch (error) {
    throw refusedOr(directory, error)
  }
}

/** Why it is so may change meanwhile. */
function conditionOf(line: string): Condition {
  const [key = line] = line.split(/ \(|: /, 1)
  return { key, line, over: `no longer: ${key}` }
}

/** Connects, and sees that what the settings say can be had there. Makes nothing. */
async function enter(options: JetStreamOptions, closing: Closing) {
  const { clock, prefix, partitions } = options
  const nats = await connectNats({ ...options, messageBytesMax: (options.eventBytesMax ?? 0) + headerBytesMax })
  closing.push(() => nats.close())
  const warnings = await durabilityWarnings(options)
  options.accept?.(warnings)
  const names = createNames(prefix)
  refuseOtherPartitions(await findPartitions(nats, clock, names), partitions)
  const plans = plannedStreams({ ...options, names })
  await refuseOtherStreams(nats, clock, plans)
  return { nats, names, warnings, streams: plans.map(({ name }) => name) }
}

async function issuerOf(file: string): Promise<Issuer> {
  return parseIssuer((await readNatsFile(file, "--nats-issuer")).toString("utf8"), file)
}

function openCredentials(
  { servers, partitions, clock, caFile }: JetStreamOptions,
  issuer: Issuer,
  parts: Pick<TenantCredentialsOptions, "nats" | "names" | "catalog">,
): TenantCredentials {
  return createTenantCredentials({
    ...parts,
    servers,
    partitions,
    issuer,
    clock,
    ...(caFile !== undefined && { caFile }),
  })
}

/** What the headers of a message come to at most; servers take no more than 64 KiB. */
const headerBytesMax = 64 << 10
