import type { NatsServer } from "../src/testing/nats.ts"
import { findLogLeader } from "./cluster.ts"
import { type Deployment, type DeploymentOptions, type EngineName, oneHub, twoHubs, twoOfEach } from "./deployment.ts"

/** What a scenario does its faults on, while the load runs. */
export interface Stage {
  readonly deployment: Deployment
  /** How long a server is paused, milliseconds. */
  readonly pauseMs: number
  /** How long something that was killed or cut is left so, milliseconds. */
  readonly downMs: number
  /** Resolves when so much of the load's time is over, from 0 to 1. */
  at(part: number): Promise<void>
  /** Resolves when it holds. */
  until(condition: () => boolean): Promise<void>
  /** `what`, for `ms`: in this time nothing can be stored, and publishing has to be refused. */
  outage(what: string, ms: number): Promise<void>
  /** `what`, for `ms`. */
  wait(what: string, ms: number): Promise<void>
}

export interface Scenario {
  readonly name: string
  readonly about: string
  readonly engines: readonly EngineName[]
  readonly deployment: (engine: EngineName) => Omit<DeploymentOptions, "engine">
  /** Whether hubs are killed: then requests to them end without an answer. */
  readonly killsHubs: boolean
  faults(stage: Stage): Promise<void>
}

const nats = ["nats1", "nats3"] as const

/** The only process, again and again; or one of two, and then the other. */
const killHub: Scenario = {
  name: "kill-hub",
  about: "kill -9 of a process that does everything, and start it again",
  engines: ["embedded", ...nats],
  deployment: (engine) => ({ hubs: engine === "embedded" ? oneHub : twoHubs }),
  killsHubs: true,
  async faults(stage) {
    const { hubs } = stage.deployment
    const kills = hubs.length === 1 ? 5 : 2
    for (let kill = 0; kill < kills; kill++) {
      await stage.at(0.15 + (0.75 * kill) / kills)
      const hub = hubs[kill % hubs.length]!
      await hub.kill()
      await stage.wait(`killed ${hub.name}`, hubs.length === 1 ? 100 : stage.downMs)
      await hub.start()
    }
  },
}

function killOne(role: "ingest" | "route" | "deliver"): Scenario {
  return {
    name: `kill-${role}`,
    about: `kill -9 of one of two ${role} processes, two of each role running, and start it again`,
    engines: nats,
    deployment: () => ({ hubs: twoOfEach }),
    killsHubs: true,
    async faults(stage) {
      await stage.at(0.25)
      const hub = stage.deployment.hub(`${role}-1`)
      await hub.kill()
      await stage.wait(`killed ${hub.name}`, stage.downMs * 2)
      await hub.start()
    },
  }
}

/** Scenarios of a cluster that do something to the leader of the fullest stream of the log, or to one that follows it. */
async function serverOf(stage: Stage, which: "leader" | "follower"): Promise<NatsServer> {
  const { leader, followers } = await findLogLeader(stage.deployment.nats!)
  return which === "leader" ? leader : followers[0]!
}

function killServer(which: "leader" | "follower"): Scenario {
  return {
    name: `kill-${which}`,
    about: `kill -9 of the NATS server that is a ${which} of a stream of the log, and start it again`,
    engines: ["nats3"],
    deployment: () => ({ hubs: twoHubs }),
    killsHubs: false,
    async faults(stage) {
      await stage.at(0.25)
      const server = await serverOf(stage, which)
      await server.kill()
      await stage.wait(`killed ${server.name}, a ${which}`, stage.downMs * 2)
      await server.start()
    },
  }
}

const pauseServer: Scenario = {
  name: "pause-server",
  about: "SIGSTOP of one NATS server for 20 s: the leader of a stream of the log, or the only one",
  engines: nats,
  deployment: () => ({ hubs: twoHubs }),
  killsHubs: false,
  async faults(stage) {
    await stage.at(0.25)
    const { servers } = stage.deployment.nats!
    const server = servers.length === 1 ? servers[0]! : await serverOf(stage, "leader")
    await server.kill("SIGSTOP")
    if (servers.length === 1) await stage.outage(`paused ${server.name}, the only one`, stage.pauseMs)
    else await stage.wait(`paused ${server.name}, a leader`, stage.pauseMs)
    await server.kill("SIGCONT")
  },
}

const loseQuorum: Scenario = {
  name: "lose-quorum",
  about: "SIGSTOP of two of three NATS servers for 20 s: nothing is stored, publishing has to be refused",
  engines: ["nats3"],
  deployment: () => ({ hubs: twoHubs }),
  killsHubs: false,
  async faults(stage) {
    await stage.at(0.25)
    const { leader, followers } = await findLogLeader(stage.deployment.nats!)
    const paused = [leader, followers[0]!]
    await Promise.all(paused.map((server) => server.kill("SIGSTOP")))
    await stage.outage(`paused ${paused.map(({ name }) => name).join(" and ")}`, stage.pauseMs)
    await Promise.all(paused.map((server) => server.kill("SIGCONT")))
  },
}

const restartServers: Scenario = {
  name: "restart-servers",
  about: "kill -9 of all NATS servers, which flush each write, and start them again",
  engines: nats,
  deployment: () => ({ hubs: twoHubs, syncAlways: true }),
  killsHubs: false,
  async faults(stage) {
    await stage.at(0.25)
    const { servers } = stage.deployment.nats!
    await Promise.all(servers.map((server) => server.kill()))
    await stage.outage("killed all servers", stage.downMs)
    await Promise.all(servers.map((server) => server.start()))
  },
}

const cutHub: Scenario = {
  name: "cut-hub",
  about: "the connection of one of two hubs to NATS is cut, refused for 5 s and restored",
  engines: nats,
  deployment: () => ({ hubs: twoHubs, proxied: true }),
  killsHubs: false,
  async faults(stage) {
    await stage.at(0.25)
    const proxies = stage.deployment.proxies("all-1")
    await Promise.all(proxies.map((proxy) => proxy.cut()))
    await stage.wait("cut all-1 off", stage.downMs)
    await Promise.all(proxies.map((proxy) => proxy.restore()))
  },
}

const cutHubs: Scenario = {
  name: "cut-hubs",
  about: "the connections of all hubs to NATS are cut, refused for 5 s and restored",
  engines: nats,
  deployment: () => ({ hubs: twoHubs, proxied: true }),
  killsHubs: false,
  async faults(stage) {
    await stage.at(0.25)
    const proxies = stage.deployment.proxies()
    await Promise.all(proxies.map((proxy) => proxy.cut()))
    await stage.outage("cut all hubs off", stage.downMs)
    await Promise.all(proxies.map((proxy) => proxy.restore()))
  },
}

export const scenarios: readonly Scenario[] = [
  killHub,
  killOne("ingest"),
  killOne("route"),
  killOne("deliver"),
  killServer("leader"),
  killServer("follower"),
  pauseServer,
  loseQuorum,
  restartServers,
  cutHub,
  cutHubs,
]
