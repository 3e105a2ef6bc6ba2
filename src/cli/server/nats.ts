import { mkdir, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { type Command, InvalidArgumentError } from "commander"
import { settingsList } from "../../config/schema.ts"
import { type CommonOptions, type Context, examples, subcommand } from "../command.ts"
import { UsageError } from "../failures.ts"
import { asTyped } from "../invocation.ts"
import { printDone } from "../output.ts"
import { configureScale } from "./nats-scale.ts"

const prefixSetting = settingsList.find(({ name }) => name === "nats.prefix")!

interface InitOptions extends Pick<CommonOptions, "json"> {
  readonly out: string
  readonly natsPrefix: string
  readonly listen: string
  readonly directory?: string
  readonly server?: readonly Server[]
}

interface Server {
  readonly name: string
  readonly host: string
}

export function configure(command: Command, context: Context): void {
  command.description("NATS servers for a hub whose engine they are.")
  const init = subcommand(
    command,
    "init",
    "Make the configuration of NATS servers for a hub and its tenants: keys, accounts and credentials. Nothing is sent anywhere.",
  )
    .requiredOption("--out <path>", "the directory where the files are written; files that are there stay")
    .option(
      "--server <name=host>",
      "a server of a cluster, and where the others reach it; three times, or five",
      server,
    )
    .option("--listen <host:port>", "where the servers listen for clients", "127.0.0.1:4222")
    .option("--directory <directory>", "where each server keeps its data (default: data, in --out)")
    .option("--nats-prefix <text>", prefixSetting.description, prefix, "redcar")
    .option("--json", "print JSON, for programs")
    .action((options: InitOptions) => initialise(context, options))
  configureScale(command, context)
  examples(init, [
    ["redcar nats init --out nats", "One server on this machine"],
    [
      "redcar nats init --out nats --server n1=10.0.0.1 --server n2=10.0.0.2 --server n3=10.0.0.3 --listen 0.0.0.0:4222 --directory /var/lib/nats",
      "A cluster of three",
    ],
  ])
}

async function initialise(context: Context, options: InitOptions): Promise<void> {
  const { out, natsPrefix, listen, server: servers = [{ name: "nats", host: "127.0.0.1" }] } = options
  const names = new Set(servers.map(({ name }) => name))
  if (servers.length % 2 === 0 || names.size < servers.length) {
    throw new UsageError(`${servers.length} servers make no cluster`, ["Name one, three or five, each another way."])
  }
  const directory = options.directory ?? resolve(out, "data")
  const [{ createNatsFiles, monitorPort }, { createNames }] = await Promise.all([
    import("../../engines/jetstream/credentials/init.ts"),
    import("../../engines/jetstream/names.ts"),
  ])
  const plans = servers.map((each) => ({ ...each, listen, directory }))
  const files = await createNatsFiles({ names: createNames(natsPrefix), servers: plans })
  await writeAll(out, files)
  const serve = serveCommand({ ...options, server: servers }, monitorPort)
  const configs = servers.map(({ name }) => join(out, `${name}.conf`))
  await printDone(
    context,
    options,
    { files: [...files.keys()], serve },
    `wrote ${[...files.keys()].join(", ")} to ${out}`,
  )
  if (!options.json) await context.terminal.out(asTyped(nextSteps(out, configs, serve), context.terminal.program))
}

function serveCommand({ out, natsPrefix, listen, server = [] }: InitOptions, monitorPort: number): string {
  const port = listen.slice(listen.lastIndexOf(":") + 1)
  const words = [
    "redcar serve",
    `--engine ${server.map(({ host }) => `nats://${host}:${port}`).join(",")}`,
    `--nats-credentials ${join(out, "hub.creds")}`,
    `--nats-issuer ${join(out, "issuer.json")}`,
    server.length === 1 ? `--nats-monitor http://127.0.0.1:${monitorPort}` : `--nats-replicas ${server.length}`,
    ...(natsPrefix === "redcar" ? [] : [`--nats-prefix ${natsPrefix}`]),
  ]
  return words.join(" ")
}

function nextSteps(out: string, configs: readonly string[], serve: string): string {
  const servers =
    configs.length === 1
      ? `Start the server:\n  nats-server -c ${configs[0]}`
      : `Copy to each server its own of ${configs.join(", ")}, and accounts.conf beside it; start it there with nats-server -c.`
  return `
${servers}

Start the hub:
  ${serve}

Keep ${join(out, "operator.seed")} in a safe place elsewhere. Nothing here needs it, and who has it owns the servers.
`
}

/** All of them, or none: what is there already is never written over. */
async function writeAll(out: string, files: ReadonlyMap<string, string>): Promise<void> {
  const written: string[] = []
  try {
    await mkdir(out, { recursive: true, mode: 0o700 })
    for (const [name, text] of files) {
      const path = join(out, name)
      await writeFile(path, text, { flag: "wx", mode: 0o600 })
      written.push(path)
    }
  } catch (error) {
    await Promise.all(written.map((path) => rm(path)))
    const { code, path = out } = error as NodeJS.ErrnoException
    const next =
      code === "EEXIST"
        ? "It holds keys that servers may know: choose another --out."
        : "Check the path and its permissions."
    throw new UsageError(`${path} cannot be written (${code})`, [next], { cause: error })
  }
}

function server(text: string, before: readonly Server[] = []): readonly Server[] {
  const [name = "", host = "", more] = text.split("=")
  if (
    !/^[A-Za-z0-9-]{1,30}$/.test(name) ||
    name === "accounts" ||
    !/^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])$/.test(host) ||
    more !== undefined
  )
    throw new InvalidArgumentError("Write it as name=host.")
  return [...before, { name, host }]
}

function prefix(text: string): string {
  if (/^[a-z][a-z0-9]{0,19}$/.test(text)) return text
  throw new InvalidArgumentError("It is a letter and up to 19 more of a-z and 0-9.")
}
