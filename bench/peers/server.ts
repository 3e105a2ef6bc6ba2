import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A first line that a program prints; undefined where there is no such program. */
export function firstLine(program: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n", 1)[0]
  } catch {
    return undefined
  }
}

/** A folder of its own, which others may look into: some servers step down from root. */
export async function openFolder(name: string): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `redcar-bench-${name}-`))
  await chmod(path, 0o777)
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** A server's process; ends with ours. */
export interface Server {
  stop(): Promise<void>
}

/** Starts a program and resolves when it listens on `port`. */
export async function startServer(
  program: string,
  args: readonly string[],
  port: number,
  options: SpawnOptions = {},
): Promise<Server> {
  const child = spawn(program, args, { ...options, stdio: "ignore" })
  const end = () => child.kill("SIGKILL")
  process.once("exit", end)
  const until = Date.now() + 60_000
  // Ends: it listens, or a minute is over.
  while (!(await listens(port))) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`${program} does not listen on ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    async stop() {
      process.off("exit", end)
      await ended(child)
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000)
  await gone
  clearTimeout(timer)
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" })
    const settle = (open: boolean) => {
      socket.destroy()
      resolve(open)
    }
    socket.once("connect", () => settle(true)).once("error", () => settle(false))
  })
}
