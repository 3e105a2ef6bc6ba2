import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HubProcess } from "../src/testing/hub-process.ts"
import { type Nats, startNats } from "../src/testing/nats.ts"
import { startProxy, type TcpProxy } from "./proxy.ts"
import { type Receiver, startReceiver } from "./receiver.ts"
import type { Read } from "./verdict.ts"
import { halfFilter, topics, triggers } from "./workload.ts"

export const engines = ["embedded", "nats1", "nats3"] as const
/** The embedded one, JetStream on one server, JetStream on three. */
export type EngineName = (typeof engines)[number]

const allRoles = ["ingest", "route", "deliver", "api"]

/** Which hubs there are, by name, and what each does. */
export type HubPlan = Readonly<Record<string, readonly string[]>>

export const oneHub: HubPlan = { all: allRoles }
export const twoHubs: HubPlan = { "all-1": allRoles, "all-2": allRoles }
export const twoOfEach: HubPlan = {
  "ingest-1": ["ingest", "api"],
  "ingest-2": ["ingest", "api"],
  "route-1": ["route"],
  "route-2": ["route"],
  "deliver-1": ["deliver"],
  "deliver-2": ["deliver"],
}

export interface DeploymentOptions {
  readonly engine: EngineName
  readonly hubs: HubPlan
  /** Whether the NATS servers flush each write before they acknowledge it. */
  readonly syncAlways?: boolean
  /** Where the hubs' log lines go, which are kept then; it has to be there. */
  readonly logDirectory?: string | undefined
  /** Whether each hub reaches the NATS servers through a proxy of its own. */
  readonly proxied?: boolean
}

const readyMsMax = 60_000
const readMsMax = 60_000

/** Real processes: NATS servers, hubs, and the receiver of what they deliver. */
export class Deployment {
  readonly key = `rck_${randomBytes(32).toString("base64url")}`
  readonly hubs: HubProcess[] = []
  readonly receiver: Receiver
  /** Undefined where there are no servers. */
  readonly nats: Nats | undefined
  readonly #directory: string
  readonly #proxies = new Map<string, TcpProxy>()
  #closed: Promise<void> | undefined

  private constructor(directory: string, receiver: Receiver, nats: Nats | undefined) {
    this.#directory = directory
    this.receiver = receiver
    this.nats = nats
  }

  /** Resolves when all hubs are ready, and the topics, destinations and triggers of the load are there. */
  static async open(options: DeploymentOptions): Promise<Deployment> {
    const directory = await mkdtemp(join(tmpdir(), "redcar-faults-"))
    const receiver = await startReceiver()
    const nats = await openNats(options).catch(async (error: unknown) => {
      await receiver.close()
      await rm(directory, { recursive: true, force: true })
      throw error
    })
    const deployment = new Deployment(directory, receiver, nats)
    try {
      await deployment.#start(options)
      return deployment
    } catch (error) {
      await deployment.close()
      throw error
    }
  }

  async #start(options: DeploymentOptions): Promise<void> {
    const [directory, { logDirectory = directory }] = [this.#directory, options]
    for (const [name, roles] of Object.entries(options.hubs)) {
      const flags = ["--delivery-lease", "5s", ...(await this.#engineFlags(name, options))]
      this.hubs.push(new HubProcess({ name, roles, directory, logDirectory, key: this.key, flags }))
    }
    await Promise.all(this.hubs.map((hub) => hub.start()))
    await Promise.all(this.hubs.map(untilReady))
    await this.#makeResources()
  }

  async #engineFlags(name: string, { engine, proxied = false }: DeploymentOptions): Promise<readonly string[]> {
    if (this.nats === undefined) return []
    let url = this.nats.url
    if (proxied) {
      const proxy = await startProxy(this.nats.servers.map(({ port }) => port))
      this.#proxies.set(name, proxy)
      url = `nats://127.0.0.1:${proxy.port}`
    }
    return ["--engine", url, "--nats-replicas", engine === "nats3" ? "3" : "1"]
  }

  async #makeResources(): Promise<void> {
    const hub = this.withRole("api")
    for (const id of topics) await hub.call("POST", "/v1/topics", { id })
    const retry = { delays: ["100ms"], attemptsMax: 1000, ageMax: "1h", jitter: 0.5 }
    for (const { name, topic, half } of triggers) {
      const config = { url: `${this.receiver.url}/${name}` }
      await hub.call("POST", "/v1/destinations", { id: name, kind: "webhook", config })
      const filters = half ? [halfFilter] : []
      await hub.call("POST", "/v1/triggers", { id: name, topic, filters, destination: name, retry })
    }
  }

  /** One of those that run and have this role; throws where there is none. */
  withRole(role: string): HubProcess {
    const hub = this.hubs.find(({ roles, address }) => address !== undefined && roles.includes(role))
    if (hub === undefined) throw new Error(`no hub with the role ${role} runs`)
    return hub
  }

  /** Throws where there is none of this name. */
  hub(name: string): HubProcess {
    const hub = this.hubs.find((one) => one.name === name)
    if (hub === undefined) throw new Error(`there is no hub ${name}`)
    return hub
  }

  /** The proxies before the servers, of these hubs or of all. */
  proxies(...names: readonly string[]): readonly TcpProxy[] {
    return [...this.#proxies].filter(([name]) => names.length === 0 || names.includes(name)).map(([, proxy]) => proxy)
  }

  /** Those that take events at present. */
  targets(): readonly { readonly address: string }[] {
    return this.hubs.flatMap(({ roles, address }) =>
      roles.includes("ingest") && address !== undefined ? [{ address }] : [],
    )
  }

  /** The whole log of the load's topics. Tries again for a while where a hub cannot read it at present. */
  async readLog(): Promise<readonly Read[]> {
    const all: Read[] = []
    for (const topic of topics) all.push(...(await this.#readTopic(topic)))
    return all
  }

  async #readTopic(topic: string): Promise<readonly Read[]> {
    const until = performance.now() + readMsMax
    // Ends: after readMsMax at the latest, by a throw.
    for (;;) {
      try {
        const path = `/v1/topics/${topic}/events?from=oldest&limit=all&format=ndjson`
        const text = await (await this.withRole("api").call("GET", path)).text()
        const lines = text.split("\n").filter((line) => line !== "")
        return lines.map((line) => ({ ...(JSON.parse(line) as Omit<Read, "topic">), topic }))
      } catch (error) {
        if (performance.now() > until) throw error
        await pause(500)
      }
    }
  }

  /** Why hubs that run are not ready; empty when all are. */
  async unready(): Promise<readonly string[]> {
    const running = this.hubs.filter(({ address }) => address !== undefined)
    const checks = running.map(async (hub) => {
      try {
        await (await hub.call("GET", "/readyz")).text()
        return []
      } catch (error) {
        return [`${hub.name} is not ready though all is well again: ${String(error)}`]
      }
    })
    return (await Promise.all(checks)).flat()
  }

  /** What the hub knows of the deliveries of an event of its log, for people. */
  async explain(topic: string, id: string, source: string): Promise<string> {
    try {
      const hub = this.withRole("api")
      const query = `source=${encodeURIComponent(source)}`
      const event = await hub.call("GET", `/v1/topics/${topic}/events/${id}?${query}`)
      const { redcarcursor, redcartime } = (await event.json()) as Record<string, string>
      const deliveries = await hub.call("GET", `/v1/events/${redcarcursor}/deliveries`)
      return `${id} at ${redcarcursor}, stored ${redcartime}: ${await deliveries.text()}`
    } catch (error) {
      return `${id}: ${String(error)}`
    }
  }

  /** Kills everything, and removes its data. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await Promise.all(this.hubs.map((hub) => hub.close()))
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()))
    await this.nats?.stop()
    await this.receiver.close()
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function openNats({ engine, syncAlways = false, proxied = false }: DeploymentOptions): Promise<Nats | undefined> {
  if (engine === "embedded") return undefined
  // What the servers tell of each other's addresses would lead hubs past the proxy: tell one where nobody is.
  const config = proxied ? `client_advertise: "127.0.0.1:1"` : ""
  return startNats({ servers: engine === "nats3" ? 3 : 1, syncAlways, config })
}

async function untilReady(hub: HubProcess): Promise<void> {
  const until = performance.now() + readyMsMax
  // Ends: after readyMsMax at the latest, by a throw.
  for (;;) {
    try {
      await (await hub.call("GET", "/readyz")).text()
      return
    } catch (error) {
      if (performance.now() > until) throw error
      await pause(50)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
