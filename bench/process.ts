import { type ChildProcess, spawn } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

/** A server in a process of its own. */
export interface Running {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** A hub of its own with an empty data directory. */
export interface RunningHub extends Running {
  readonly key: string
  readonly directory: string
  call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>
}

/** Starts `file` (of this folder), which prints `listening <port>`. */
export async function startBaseline(file: string, ...args: readonly string[]): Promise<Running> {
  return start([join(root, "bench", "baseline", file), ...args])
}

/** `kept`: its data directory, which is left; else it has a new one. `given`: the admin key; else it makes one. */
export async function startHubProcess(
  flags: readonly string[] = [],
  kept?: string,
  given?: string,
): Promise<RunningHub> {
  const directory = kept ?? (await mkdtemp(join(tmpdir(), "redcar-bench-")))
  const fixed = ["--port", "0", "--data", directory, "--log-format", "json"]
  const running = await start([join(root, "bin", "redcar.js"), "serve", ...fixed, ...flags], {
    ...(given !== undefined && { REDCAR_ADMIN_KEY: given }),
  })
  const key = given ?? (await readFile(join(directory, "admin.key"), "utf8")).trim()
  return {
    ...running,
    key,
    directory,
    async stop() {
      await running.stop()
      if (kept === undefined) await rm(directory, { recursive: true, force: true })
    },
    async call(method, path, body) {
      const answer = await fetch(`http://127.0.0.1:${running.port}${path}`, {
        method,
        headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return text === "" ? {} : JSON.parse(text)
    },
  }
}

async function start(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Running> {
  const env = { ...process.env, ...variables }
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env })
  const port = await portOf(child)
  return {
    port,
    pid: child.pid!,
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve())
        child.kill("SIGTERM")
      }),
  }
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ""
    child.stdout!.on("data", (chunk) => {
      text += chunk
      const port = /(?:listening |"address":"http:\/\/127\.0\.0\.1:)(\d+)/.exec(text)?.[1]
      if (port !== undefined) resolve(Number(port))
      if (text.length > 100_000) text = ""
    })
    child.once("exit", (code) => reject(new Error(`ended with ${code} before it listened: ${text}`)))
  })
}
