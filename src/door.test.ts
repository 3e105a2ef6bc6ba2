import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { Agent, get, type IncomingMessage } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { loadSettings } from "./config/load.ts"
import { type Door, makeDoor } from "./door.ts"
import { serveHub } from "./main.ts"
import { startHubOn } from "./restart.fixture.ts"

let door: Door
let url: string
let home: string

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "redcar-door-"))
  door = makeDoor()
  url = await door.open("127.0.0.1", 0)
})

afterEach(() => {
  door.close()
  rmSync(home, { recursive: true, force: true })
})

function settingsOf(flags: Readonly<Record<string, string>>) {
  const loaded = loadSettings({ flags: { logLevel: "silent", ...flags }, env: {}, readFile: () => undefined })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  return loaded.settings
}

test("before there is a hub it is alive, not ready, and says how far it is", async () => {
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  door.tell("40 %")
  const ready = await fetch(`${url}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([
    503,
    expect.objectContaining({ ready: false, reasons: ["40 %"] }),
  ])
  const publish = await fetch(`${url}/v1/topics/orders/events`, { method: "POST", body: "x".repeat(1_000_000) })
  expect([publish.status, publish.headers.get("retry-after")]).toEqual([503, "1"])
  expect(await publish.json()).toMatchObject({ code: "overloaded", detail: "40 %; try again soon" })
})

test("what comes once there is a hub is the hub's", async () => {
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  door.lead((_, response) => void response.end("the hub"))
  expect(await (await fetch(`${url}/readyz`)).text()).toBe("the hub")
})

test("a client that always has another request does not hold up a stop", async () => {
  door.lead((_, response) => void response.end("."))
  let answered = 0
  const client = (async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    // Ends: when the door no longer answers.
    for (;;) {
      const request = get(url, { agent })
      const [response] = (await once(request, "response")) as [IncomingMessage]
      await once(response.resume(), "end")
      answered++
    }
  })().catch(() => {})
  await vi.waitUntil(() => answered > 10)
  await door.leave()
  await client
})

test("a hub listens before it opens anything", async () => {
  const data = join(home, "data")
  const { port } = new URL(url)
  await expect(serveHub(settingsOf({ data, port }))).rejects.toMatchObject({ code: "EADDRINUSE" })
  expect(existsSync(data)).toBe(false)
})

test("a start that makes the state anew is ended by its signal, and the next one makes it anew", async () => {
  const hub = await startHubOn(home)
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.stop()
  rmSync(join(home, "state"), { recursive: true })
  const reason = new Error("stop")
  await expect(serveHub(settingsOf({ data: home, port: "0" }), AbortSignal.abort(reason))).rejects.toBe(reason)
  const again = await startHubOn(home)
  expect((await again.call("GET", "/v1/topics/orders")).status).toBe(200)
  expect((await again.call("GET", "/readyz")).body).toMatchObject({ ready: true, degraded: [] })
  await again.stop()
})
