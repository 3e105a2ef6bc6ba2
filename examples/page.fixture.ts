import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { type AddressInfo, createServer as createListener } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../bin/redcar.js", import.meta.url))
/** What the documents suppose. */
const [supposedHost, supposedData, supposedOther] = ["127.0.0.1:9000", "/var/lib/redcar", "127.0.0.1:9100"]

/** A command of a page, and what the page shows of its output. */
export interface Shown {
  readonly command: string
  readonly output: string
}

/** The text of a page of docs/. */
export function pageText(name: string): string {
  return readFileSync(new URL(`../docs/${name}`, import.meta.url), "utf8")
}

/** The commands in a page's `console` blocks, in order. */
export function shownIn(page: string): readonly Shown[] {
  return [...page.matchAll(/^```console\n([\s\S]*?)^```$/gm)]
    .flatMap(([, block]) => block!.split(/^\$ /m).slice(1))
    .map((text) => {
      const end = text.indexOf("\n")
      return { command: text.slice(0, end), output: text.slice(end + 1).trim() }
    })
}

/** Whether `output` is what a page shows; there … stands for anything, and cursors and times are any. */
export function agrees(output: string, shown: string): boolean {
  const pattern = anonymous(shown)
    .split("…")
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("[\\s\\S]*")
  return new RegExp(`^${pattern}$`).test(anonymous(output.trim()))
}

function anonymous(text: string): string {
  return text
    .replace(/\b0000[0-9a-z]{7}\b/g, "<cursor>")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replace(/[ \t]+$/gm, "")
}

/** A machine as the documents suppose it: `systemctl` starts and stops a hub whose data are in /var/lib/redcar. */
export class Machine {
  readonly home = mkdtempSync(join(tmpdir(), "redcar-page-"))
  readonly data = join(this.home, "lib", "redcar")
  readonly #work = join(this.home, "work")
  readonly #control: Server
  readonly #flags: readonly string[]
  readonly #isKeyed: boolean
  readonly #ports: readonly string[]
  #hub: ChildProcess | undefined

  private constructor(control: Server, ports: readonly string[], flags: readonly string[], isKeyed: boolean) {
    this.#isKeyed = isKeyed
    this.#control = control
    this.#ports = ports
    this.#flags = flags
    for (const folder of [this.#work, join(this.home, "bin"), join(this.home, "lib")]) mkdirSync(folder)
    this.#program("redcar", `exec ${process.execPath} ${bin} "$@"`)
    const { port } = control.address() as AddressInfo
    this.#program("systemctl", `exec curl -sS --fail http://127.0.0.1:${port}/$1/$2`)
  }

  /** With a hub that runs; `flags`: more of its settings; `isKeyed`: its key is in the environment, for `redcar` too. */
  static async start(flags: readonly string[] = [], isKeyed = false): Promise<Machine> {
    const control = createServer((request, response) => {
      const [, verb, unit] = request.url!.split("/")
      const done = unit !== "redcar" ? undefined : verb === "stop" ? machine.#stop() : machine.#start()
      if (done === undefined) response.writeHead(404).end()
      else
        done.then(
          () => response.end(),
          (error) => response.writeHead(500).end(String(error)),
        )
    }).listen(0, "127.0.0.1")
    await once(control, "listening")
    const machine = new Machine(control, [await freePort(), await freePort()], flags, isKeyed)
    await machine.#start()
    return machine
  }

  /** `http://127.0.0.1:…` */
  get url(): string {
    return `http://127.0.0.1:${this.#ports[0]}`
  }

  /** The admin key; empty while there is none. */
  get key(): string {
    const path = join(this.data, "admin.key")
    return existsSync(path) ? readFileSync(path, "utf8").trim() : ""
  }

  /** Another port, for what a page starts beside the hub. */
  get otherPort(): string {
    return this.#ports[1]!
  }

  /** Runs a command as the documents have it; answers what it printed, as if it were of the machine that they suppose. */
  async run(command: string): Promise<string> {
    const env = { ...process.env, PATH: `${this.home}/bin:${process.env.PATH}`, KEY: this.key, NO_COLOR: "1" }
    const keyed = this.#isKeyed ? { REDCAR_KEY: this.key } : {}
    const options = { cwd: this.#work, env: { ...env, REDCAR_URL: this.url, ...keyed }, timeout: 60_000 }
    const text = await new Promise<string>((resolve) => {
      execFile("bash", ["-c", this.#here(command)], options, (_, stdout, stderr) => resolve(stdout + stderr))
    })
    return text
      .replaceAll(this.data, supposedData)
      .replaceAll(`127.0.0.1:${this.#ports[0]}`, supposedHost)
      .replaceAll(`127.0.0.1:${this.#ports[1]}`, supposedOther)
  }

  async stop(): Promise<void> {
    await this.#stop()
    this.#control.close()
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
  }

  #here(text: string): string {
    return text
      .replaceAll(supposedData, this.data)
      .replaceAll(supposedHost, `127.0.0.1:${this.#ports[0]}`)
      .replaceAll(supposedOther, `127.0.0.1:${this.#ports[1]}`)
      .replaceAll("--port 9100", `--port ${this.#ports[1]}`)
  }

  #program(name: string, line: string): void {
    writeFileSync(join(this.home, "bin", name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })
  }

  async #start(): Promise<void> {
    if (this.#hub !== undefined) return
    const args = [bin, "serve", "--port", this.#ports[0]!, "--data", this.data, "--log-format", "json", ...this.#flags]
    const hub = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    this.#hub = hub
    let said = ""
    await new Promise<void>((resolve, reject) => {
      hub.stdout!.on("data", (part: Buffer) => {
        said += part.toString()
        if (said.includes("redcar is ready")) resolve()
      })
      hub.once("exit", () => reject(new Error(said)))
    })
  }

  async #stop(): Promise<void> {
    const hub = this.#hub
    this.#hub = undefined
    if (hub === undefined || hub.exitCode !== null) return
    hub.kill("SIGTERM")
    await once(hub, "exit")
  }
}

/** A port that nobody has at present. */
export async function freePort(): Promise<string> {
  const server = createListener().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  return String(port)
}
