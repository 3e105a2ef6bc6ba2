/** A NATS server to be set up. */
export interface ServerPlan {
  /** `n1`; its own in the cluster. */
  readonly name: string
  /** Where the other servers of the cluster reach it. */
  readonly host: string
  /** Where clients reach it: `0.0.0.0:4222`. */
  readonly listen: string
  /** A directory of the server's own, on the machine that it runs on. */
  readonly directory: string
}

const clusterPort = 6222
/** Of every server, on its own machine. */
export const monitorPort = 8222

/** The configuration of one server; a cluster where there are more. `accounts.conf` has to lie beside it. */
export function serverConfig(server: ServerPlan, servers: readonly ServerPlan[]): string {
  const lines = [
    `server_name: ${server.name}`,
    `listen: ${JSON.stringify(server.listen)}`,
    "# Tells the hub how this server writes to its disk (nats.monitor).",
    `http: "127.0.0.1:${monitorPort}"`,
    "",
    "# What a stream has acknowledged is on the disk. With three servers that each hold every stream",
    "# (nats.replicas: 3) a longer interval is a choice that one can make: take sync_interval away.",
    "jetstream {",
    `  store_dir: ${JSON.stringify(`${server.directory}/jetstream`)}`,
    "  sync_interval: always",
    "}",
    "",
    "# Where the server keeps the accounts of tenants, as the hub tells it of them.",
    "resolver {",
    "  type: full",
    `  dir: ${JSON.stringify(`${server.directory}/accounts`)}`,
    "  allow_delete: true",
    '  interval: "2m"',
    "}",
    "include accounts.conf",
  ]
  return `${[...lines, ...clusterLines(servers)].join("\n")}\n`
}

function clusterLines(servers: readonly ServerPlan[]): readonly string[] {
  if (servers.length === 1) return []
  return [
    "",
    "# Servers trust each other: let nobody else reach this port, or add TLS and authorization here.",
    "cluster {",
    "  name: redcar",
    `  listen: "0.0.0.0:${clusterPort}"`,
    `  routes: [${servers.map(({ host }) => JSON.stringify(`nats://${host}:${clusterPort}`)).join(", ")}]`,
    "}",
  ]
}
