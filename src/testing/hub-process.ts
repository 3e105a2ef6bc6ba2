import { type ChildProcess, spawn } from "node:child_process"
import { createWriteStream, type WriteStream } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../../bin/redcar.js", import.meta.url))
const startMsMax = 60_000

export interface HubOptions {
  readonly name: string
  readonly roles: readonly string[]
  /** Holds its data. */
  readonly directory: string
  /** Where its log lines go. */
  readonly logDirectory: string
  readonly key: string
  /** More flags of `redcar serve`. */
  readonly flags: readonly string[]
  /** The user that it runs as; default: this process's. */
  readonly uid?: number
  /** How long a start may take, milliseconds; default 60,000. */
  readonly startMsMax?: number
}

/** A hub did not come to listen. */
export class HubStartError extends Error {
  override readonly name = "HubStartError"
  /** Its exit code, or the signal that ended it; undefined where it hung and was killed. */
  readonly end: number | NodeJS.Signals | undefined
  /** What it said that is no log line, and its log lines of level error. */
  readonly said: readonly string[]
  constructor(message: string, end: number | NodeJS.Signals | undefined, said: readonly string[]) {
    super(`${message}; it said: ${said.join(" ")}`)
    this.end = end
    this.said = said
  }
}

/** A hub in a process of its own, which can be killed and started again on its data. */
export class HubProcess {
  readonly name: string
  readonly roles: readonly string[]
  readonly dataPath: string
  readonly #options: HubOptions
  readonly #file: WriteStream
  readonly #faults: string[] = []
  readonly #complaints: string[] = []
  #child: ChildProcess | undefined
  #address: string | undefined

  constructor(options: HubOptions) {
    this.#options = options
    this.name = options.name
    this.roles = options.roles
    this.dataPath = join(options.directory, options.name)
    this.#file = createWriteStream(join(options.logDirectory, `${options.name}.log`), { flags: "a" })
  }

  /** `http://127.0.0.1:port`; undefined while it does not run. */
  get address(): string | undefined {
    return this.#address
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Ends that nobody asked for. */
  get faults(): readonly string[] {
    return this.#faults
  }

  /** Its log lines of level error, the first of them. */
  get complaints(): readonly string[] {
    return this.#complaints
  }

  /** Resolves when it listens; rejects with HubStartError when it ends before, or is too slow. */
  async start(): Promise<void> {
    const { name, roles, key, flags, uid } = this.#options
    const fixed = ["--port", "0", "--data", this.dataPath, "--log-format", "json", "--roles", roles.join(",")]
    const child = spawn(process.execPath, [bin, "serve", ...fixed, ...flags], {
      env: { ...process.env, REDCAR_ADMIN_KEY: key },
      stdio: ["ignore", "pipe", "pipe"],
      ...(uid !== undefined && { uid, gid: uid }),
    })
    this.#child = child
    const end = () => child.kill("SIGKILL")
    process.once("exit", end)
    child.once("exit", (code, signal) => {
      process.off("exit", end)
      if (this.#child !== child) return
      this.#child = undefined
      this.#address = undefined
      this.#faults.push(`${name} ended by itself (${signal ?? code})`)
    })
    createInterface(child.stderr!).on("line", (line) => this.#hear(line))
    this.#address = await this.#addressOf(child)
  }

  #addressOf(child: ChildProcess): Promise<string> {
    const { startMsMax: waitMs = startMsMax } = this.#options
    return new Promise((resolve, reject) => {
      const fail = (why: string, end?: number | NodeJS.Signals) =>
        reject(new HubStartError(`${this.name} ${why}`, end, this.#complaints))
      const timer = setTimeout(() => fail(`has not started in ${waitMs / 1000} s`), waitMs)
      // What it said is all heard once its output has closed.
      child.once("close", (code, signal) => {
        clearTimeout(timer)
        fail(`ended with ${signal ?? code} before it listened`, signal ?? code ?? undefined)
      })
      createInterface(child.stdout!).on("line", (line) => {
        this.#hear(line)
        const address = /"address":"([^"]+)"/.exec(line)?.[1]
        if (address === undefined) return
        clearTimeout(timer)
        resolve(address)
      })
    })
  }

  #hear(line: string): void {
    this.#file.write(`${line}\n`)
    const isComplaint = !line.startsWith("{") || /"level":(50|60|"error"|"fatal")/.test(line)
    if (isComplaint && this.#complaints.length < 20) this.#complaints.push(line)
  }

  /** Resolves when it is gone, with its exit code or the signal that ended it; undefined where it did not run. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | NodeJS.Signals | undefined> {
    const child = this.#child
    this.#child = undefined
    this.#address = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return undefined
    const gone = new Promise<number | NodeJS.Signals>((resolve) =>
      child.once("exit", (code, by) => resolve(by ?? code ?? 0)),
    )
    child.kill(signal)
    return gone
  }

  /** Kills it, and closes its log. */
  async close(): Promise<void> {
    await this.kill()
    await new Promise((resolve) => this.#file.end(resolve))
  }

  /** Throws for every answer that is not 2xx. */
  async call(method: string, path: string, body?: unknown): Promise<Response> {
    if (this.#address === undefined) throw new Error(`${this.name} does not run`)
    const answer = await fetch(this.#address + path, {
      method,
      headers: { authorization: `Bearer ${this.#options.key}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }
}
