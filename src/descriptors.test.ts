import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { Agent, request } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { expect, test, vi } from "vitest"
import { descriptorsMax, warnOfDescriptors } from "./telemetry/descriptors.ts"
import { createMemoryLog } from "./testing/memory-log.ts"

const bin = fileURLToPath(new URL("../bin/redcar.js", import.meta.url))

/** A hub of a process that may have so many files open, and what its log says. */
async function hubWith(limit: number) {
  const data = await mkdtemp(join(tmpdir(), "redcar-descriptors-"))
  const flags = ["serve", "--port", "0", "--data", data, "--log-format", "json", "--limits-segment-bytes", "4MiB"]
  const child = spawn("bash", ["-c", `ulimit -n ${limit}; exec "$@"`, "bash", process.execPath, bin, ...flags])
  const lines: { level: string; msg: string; address?: string }[] = []
  createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line)))
  const address = await vi.waitUntil(() => lines.find(({ msg }) => msg === "redcar is ready")?.address, {
    timeout: 20_000,
  })
  const key = (await readFile(join(data, "admin.key"), "utf8")).trim()
  return {
    address: address!,
    key,
    said: (text: string) => lines.filter(({ msg }) => msg.includes(text)),
    async stop() {
      child.kill()
      const [code] = await once(child, "exit")
      await rm(data, { recursive: true })
      return code as number
    },
  }
}

/** Publishes 256 KiB over one of the agent's connections; the answer's status, or why there is none. */
function publish({ address, key }: { address: string; key: string }, agent: Agent): Promise<number | string> {
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
    const sending = request(`${address}/v1/topics/orders/events`, { method: "POST", agent, headers }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode!))
    })
    sending.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    sending.end(JSON.stringify("x".repeat(256 << 10)))
  })
}

/** Idle clients, 100 of them at any time: one that is refused comes again. Answers what ends them. */
function crowd(port: number, hostname: string): () => void {
  const clients = new Set<Socket>()
  let isOver = false
  const come = () => {
    if (isOver) return
    const client = connect(port, hostname).on("error", () => {})
    clients.add(client)
    client.on("close", () => {
      clients.delete(client)
      setTimeout(come, 20)
    })
  }
  for (let i = 0; i < 100; i++) come()
  return () => {
    isOver = true
    for (const client of clients) client.destroy()
  }
}

test("a hub whose files are used up by idle clients says so once, and takes all again when they have gone", async () => {
  const hub = await hubWith(64)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let disperse = () => {}
  try {
    expect(hub.said("64 files and connections")).toHaveLength(1)
    expect(await publish(hub, agent)).toBe(202)
    const { hostname, port } = new URL(hub.address)
    disperse = crowd(Number(port), hostname)
    await vi.waitUntil(() => hub.said("as many files and connections are open as may be (64)").length === 1, {
      timeout: 10_000,
    })
    const answers = new Set<number | string>()
    for (let i = 0; i < 60; i++) answers.add(await publish(hub, agent))
    expect([...answers].sort()).toEqual([202, 503])
    disperse()
    await vi.waitUntil(() => hub.said("files and connections can be opened again").length === 1, { timeout: 10_000 })
    expect(await publish(hub, agent)).toBe(202)
    expect(await publish(hub, new Agent())).toBe(202)
    expect(hub.said("as many files and connections")).toHaveLength(1)
  } finally {
    agent.destroy()
    disperse()
    expect(await hub.stop()).toBe(0)
  }
}, 60_000)

test("a limit is warned of where it is low", () => {
  const log = createMemoryLog()
  warnOfDescriptors(log, 256)
  expect(log.lines.splice(0)).toEqual([expect.stringContaining("this process may have 256 files and connections open")])
  warnOfDescriptors(log, 1_024)
  expect(log.lines).toEqual([])
  expect(descriptorsMax(() => "Limit  Soft\nMax open files            4096     8192   files\n")).toBe(4_096)
  expect(descriptorsMax(() => "Max open files            unlimited  unlimited files\n")).toBeUndefined()
})
