import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Nats, natsAvailable, startNats } from "./testing/nats.ts"

const bin = fileURLToPath(new URL("../bin/redcar.js", import.meta.url))
const key = `rck_${"a".repeat(43)}`

/** Runs `redcar serve` until `use` is over and it was told to stop; answers all that it said. */
async function serve(flags: readonly string[], use: (url: string) => Promise<void>): Promise<readonly string[]> {
  const child = spawn(process.execPath, [bin, "serve", "--port", "0", "--log-format", "json", ...flags], {
    env: { ...process.env, REDCAR_ADMIN_KEY: key },
    stdio: ["ignore", "pipe", "pipe"],
  })
  const said: string[] = []
  const ready = Promise.withResolvers<string>()
  const over = new Promise<number | null>((resolve) => child.once("close", resolve))
  over.then(() => ready.reject(new Error(`it ended before it listened: ${said.join("\n")}`)))
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      said.push(line)
      const address = /"address":"([^"]+)"/.exec(line)?.[1]
      if (address !== undefined) ready.resolve(address)
    })
  }
  try {
    await use(await ready.promise)
  } finally {
    child.kill("SIGTERM")
  }
  expect(await over).toBe(0)
  return said
}

async function call(url: string, method: string, path: string, body?: object, type = "application/json") {
  const headers = { authorization: `Bearer ${key}`, ...(body && { "content-type": type }) }
  const answer = await fetch(url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  expect([path, answer.ok]).toEqual([path, true])
  return answer.text()
}

const idsIn = (lines: string) =>
  lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).id)

if (natsAvailable() === undefined) {
  test.skip("a second start on three servers: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("on three servers", () => {
    let cluster: Nats
    let data: string
    beforeAll(async () => {
      data = await mkdtemp(join(tmpdir(), "redcar-second-"))
      cluster = await startNats({ servers: 3, syncAlways: true })
    }, 60_000)
    afterAll(async () => {
      await cluster?.stop()
      await rm(data, { recursive: true })
    })

    test("a second start says nothing of level warn or error, shows no stack, and has what the first one took", async () => {
      const flags = ["--engine", cluster.url, "--nats-replicas", "3", "--data", data]
      const event = (id: string) => ({ specversion: "1.0", id, source: "/s", type: "a" })
      await serve(flags, async (url) => {
        await call(url, "POST", "/v1/topics", { id: "t" })
        await call(url, "POST", "/v1/topics", { id: "sink" })
        await call(url, "POST", "/v1/destinations", { id: "d", kind: "topic", config: { topic: "sink" } })
        await call(url, "POST", "/v1/triggers", { id: "g", topic: "t", destination: "d" })
        await call(url, "POST", "/v1/topics/t/events", event("1"), "application/cloudevents+json")
      })
      const said = await serve(flags, async (url) => {
        await call(url, "POST", "/v1/topics/t/events", event("2"), "application/cloudevents+json")
        expect(idsIn(await call(url, "GET", "/v1/topics/t/events?limit=all"))).toEqual(["1", "2"])
      })
      const complaints = said.filter((line) => !/^\{"level":"info"/.test(line) || line.includes('"stack"'))
      expect(complaints).toEqual([])
      expect(said.some((line) => line.includes("redcar is ready"))).toBe(true)
    }, 90_000)
  })
}
