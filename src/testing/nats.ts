import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { homedir, tmpdir } from "node:os"
import { delimiter, join } from "node:path"

/** Real NATS servers with JetStream, on free ports, with their data in a folder of their own. */
export interface Nats {
  /** All servers, as the hub's setting `engine` takes them. */
  readonly url: string
  readonly servers: readonly NatsServer[]
  /** Kills what runs, and removes the data. */
  stop(): Promise<void>
}

export interface NatsServer {
  readonly name: string
  readonly url: string
  readonly port: number
  /** `http://127.0.0.1:port`, where the server tells about itself. */
  readonly monitor: string
  readonly storeDir: string
  readonly pid: number | undefined
  /** Resolves when the process is gone, but for SIGSTOP and SIGCONT, which end nothing. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on its data; resolves when it answers. */
  start(): Promise<void>
}

export interface NatsOptions {
  /** Default 1; 3 make a cluster. */
  readonly servers?: 1 | 3
  /** Flush each write to the disk before it is acknowledged. Default false. */
  readonly syncAlways?: boolean
  /** More lines of the servers' configuration: the same of all, or of each with what lies in its own folder. */
  readonly config?: string | ((folder: string) => string)
}

/**
 * The server's program: what NATS_SERVER names, else in PATH, else where Go installs it; undefined where it is nowhere. Throws
 * where NATS_SERVER names what does not run: whoever names it wants no test skipped.
 */
export function natsAvailable(): string | undefined {
  const given = process.env.NATS_SERVER
  if (given !== undefined && !runs(given)) throw new Error(`NATS_SERVER names ${given}, which does not run`)
  if (given !== undefined) return given
  const folders = [...(process.env.PATH ?? "").split(delimiter), join(homedir(), "go", "bin")]
  return folders.map((folder) => join(folder, "nats-server")).find((path) => existsSync(path) && runs(path))
}

function runs(path: string): boolean {
  try {
    execFileSync(path, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** Starts servers, and resolves when JetStream answers on all of them. */
export async function startNats({ servers = 1, syncAlways = false, config = "" }: NatsOptions = {}): Promise<Nats> {
  const program = natsAvailable()
  if (program === undefined) throw new Error("there is no nats-server here; NATS_SERVER names its program")
  const folder = await mkdtemp(join(tmpdir(), "redcar-nats-"))
  const ports = await freePorts(servers * 3)
  const routes = Array.from({ length: servers }, (_, i) => `nats://127.0.0.1:${ports[i * 3 + 2]}`)
  const started = await Promise.all(
    routes.map(async (_, i) => {
      const [port, http, cluster] = ports.slice(i * 3) as [number, number, number]
      const home = join(folder, `n${i}`)
      await mkdir(home, { recursive: true })
      const lines = [
        `server_name: n${i}`,
        `listen: 127.0.0.1:${port}`,
        `http: 127.0.0.1:${http}`,
        `jetstream { store_dir: ${JSON.stringify(home)}${syncAlways ? ", sync_interval: always" : ""} }`,
        ...(servers === 1
          ? []
          : [`cluster { name: c, listen: 127.0.0.1:${cluster}, routes: [${routes.map((r) => JSON.stringify(r))}] }`]),
        typeof config === "string" ? config : config(home),
      ]
      const file = join(folder, `n${i}.conf`)
      await writeFile(file, `${lines.join("\n")}\n`)
      return new ServerProcess(program, file, `n${i}`, port, http, home)
    }),
  )
  const stop = async () => {
    await Promise.all(started.map((server) => server.kill("SIGKILL")))
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await Promise.all(started.map((server) => server.start()))
  } catch (error) {
    await stop()
    throw error
  }
  return { url: started.map(({ url }) => url).join(","), servers: started, stop }
}

const startMsMax = 30_000

class ServerProcess implements NatsServer {
  readonly #program: string
  readonly #file: string
  readonly name: string
  readonly port: number
  readonly url: string
  readonly monitor: string
  readonly storeDir: string
  #child: ChildProcess | undefined
  #said = ""

  constructor(program: string, file: string, name: string, port: number, http: number, storeDir: string) {
    this.#program = program
    this.#file = file
    this.name = name
    this.port = port
    this.url = `nats://127.0.0.1:${port}`
    this.monitor = `http://127.0.0.1:${http}`
    this.storeDir = storeDir
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    child.kill(signal)
    if (signal === "SIGSTOP" || signal === "SIGCONT") return
    if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once("exit", done))
    this.#child = undefined
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) return
    const child = spawn(this.#program, ["-c", this.#file], { stdio: ["ignore", "ignore", "pipe"] })
    this.#child = child
    child.stderr.on("data", (bytes: Buffer) => {
      this.#said = (this.#said + bytes.toString()).slice(-4_000)
    })
    // A test that ends without stopping its servers leaves none behind.
    const end = () => child.kill("SIGKILL")
    process.once("exit", end)
    child.once("exit", () => process.off("exit", end))
    const until = Date.now() + startMsMax
    while (!(await this.#isHealthy())) {
      if (child.exitCode !== null) throw new Error(`nats-server ended: ${this.#said}`)
      if (Date.now() > until) throw new Error(`nats-server is not ready: ${this.#said}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async #isHealthy(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.monitor}/healthz`)
      await answer.body?.cancel()
      return answer.ok
    } catch {
      return false
    }
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const held = await Promise.all(Array.from({ length: count }, holdPort))
  await Promise.all(held.map(({ close }) => close()))
  return held.map(({ port }) => port)
}

async function holdPort(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as { port: number }
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}
