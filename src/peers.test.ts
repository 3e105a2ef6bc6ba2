import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { mkdtempSync, rmSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test, vi } from "vitest"
import { loadSettings } from "./config/load.ts"
import { serveHub } from "./main.ts"

test("whoever sends a thousand requests to a hub and reads nothing has few of them answered", async () => {
  const data = mkdtempSync(join(tmpdir(), "redcar-peers-"))
  const loaded = loadSettings({ flags: { data, port: "0", logLevel: "silent" }, env: {}, readFile: () => undefined })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const hub = await serveHub(loaded.settings)
  const responses: ServerResponse[] = []
  const sockets = new Set<Socket>()
  const onRequest = (message: unknown) => {
    const { response, socket } = message as { response: ServerResponse; socket: Socket }
    responses.push(response)
    sockets.add(socket)
  }
  subscribe("http.server.request.start", onRequest)
  const client = connect(Number(new URL(hub.address).port), "127.0.0.1").on("error", () => {})
  try {
    client.pause()
    client.write("GET /docs/scalar.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000))
    await vi.waitFor(() => expect(responses).toHaveLength(1_000), { interval: 5, timeout: 10_000 })
    const [socket] = sockets
    await vi.waitFor(() => expect(socket!.writableLength).toBeGreaterThan(0), { interval: 5, timeout: 20_000 })
    for (let turn = 0; turn < 500; turn++) await new Promise(setImmediate)
    // What the operating system's buffers hold was answered, and one more.
    expect(responses.filter(({ headersSent }) => headersSent).length).toBeLessThan(20)
    expect(socket!.writableLength).toBeLessThan(8 << 20)
  } finally {
    unsubscribe("http.server.request.start", onRequest)
    client.destroy()
    await hub.stop()
    rmSync(data, { recursive: true, force: true })
  }
}, 40_000)
