import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type JetStreamManager, jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream"
import { Kvm } from "@nats-io/kv"
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node"
import type { Catalog } from "../../../core/catalog.ts"
import type { Clock } from "../../../core/clock.ts"
import type { TenantCredentials } from "../../../core/credentials.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, startNats } from "../../../testing/nats.ts"
import { openEmbeddedDirectory } from "../../embedded/engine.ts"
import { createNames, type Names } from "../names.ts"
import { createNatsFiles } from "./init.ts"
import { type Issuer, parseIssuer } from "./issuer.ts"
import { createTenantCredentials } from "./tenant-credentials.ts"

/** Servers as `redcar nats init` sets them up, with the hub's streams in its account. */
export interface NatsSetup {
  readonly nats: Nats
  readonly names: Names
  readonly partitions: number
  /** The hub's own connection. */
  readonly hub: NatsConnection
  readonly manager: JetStreamManager
  readonly issuer: Issuer
  readonly catalog: Catalog
  readonly credentials: TenantCredentials
  credentialsAt(clock: Pick<Clock, "now">): TenantCredentials
  /** To the server named, else to any. */
  connect(creds: string, server?: string): Promise<NatsConnection>
  /** Puts an event of a tenant into the log, as the hub does. */
  store(partition: number, path: string, data: string): Promise<void>
  close(): Promise<void>
}

export async function openNatsSetup(servers: 1 | 3 = 1, partitions = 2): Promise<NatsSetup> {
  const names = createNames("redcar")
  const directory = await mkdtemp(join(tmpdir(), "redcar-credentials-"))
  const server = { name: "nats", host: "127.0.0.1", listen: "127.0.0.1:4222", directory }
  const files = await createNatsFiles({ names, servers: [server] })
  const resolver = (folder: string) =>
    `resolver { type: full, dir: ${JSON.stringify(join(folder, "accounts"))}, allow_delete: true }`
  const nats = await startNats({
    servers,
    config: (folder) => `${resolver(folder)}\n${files.get("accounts.conf")}`,
  })
  const enter = (creds: string, server = nats.url) =>
    connect({
      servers: server.split(","),
      authenticator: credsAuthenticator(new TextEncoder().encode(creds)),
      reconnect: false,
    })
  const hub = await enter(files.get("hub.creds")!)
  const manager = await jetstreamManager(hub)
  await makeStreams(hub, names, partitions, servers)
  const { catalog, close } = await openEmbeddedDirectory(join(directory, "hub"), { clock: systemClock })
  const issuer = parseIssuer(files.get("issuer.json")!)
  const credentialsAt = ({ now }: Pick<Clock, "now">) =>
    createTenantCredentials({
      nats: hub,
      servers: nats.url.split(","),
      names,
      partitions,
      catalog,
      issuer,
      clock: { ...systemClock, now },
    })
  return {
    nats,
    names,
    partitions,
    hub,
    manager,
    issuer,
    catalog,
    credentials: credentialsAt(systemClock),
    credentialsAt,
    connect: enter,
    store: async (partition, path, data) => {
      await jetstream(hub).publish(`${names.own}.log.${partition}.${path}`, data)
    },
    async close() {
      await hub.close()
      await close()
      await nats.stop()
      await rm(directory, { recursive: true })
    },
  }
}

async function makeStreams(hub: NatsConnection, names: Names, partitions: number, num_replicas: number): Promise<void> {
  const { streams } = await jetstreamManager(hub)
  for (let partition = 0; partition < partitions; partition++) {
    const src = names.logSubjects(partition)
    const subject_transform = { src, dest: `${names.prefix}.>` }
    await streams.add({
      name: names.logStream(partition),
      subjects: [src],
      subject_transform,
      allow_direct: true,
      num_replicas,
    })
    await streams.add({ name: names.queueStream(partition), subjects: [names.queueSubject(partition)] })
  }
  await streams.add({
    name: names.inboxStream,
    subjects: [names.inboxSubjects],
    retention: RetentionPolicy.Workqueue,
  })
  await new Kvm(hub).create(names.catalogBucket)
}
