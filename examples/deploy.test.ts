import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { runCli, shellWords } from "../src/cli/terminal.fixture.ts"
import { loadSettings } from "../src/config/load.ts"
import { serveHub } from "../src/main.ts"
import { natsAvailable } from "../src/testing/nats.ts"

const program = natsAvailable()
const deploy = (name: string) => fileURLToPath(new URL(`../deploy/${name}`, import.meta.url))

describe.skipIf(program === undefined)("deploy/ (skipped where there is no nats-server)", () => {
  let home: string
  let running: ChildProcess[]
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "redcar-deploy-"))
    running = []
  })
  afterEach(async () => {
    await Promise.all(running.map((child) => end(child)))
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })

  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill("SIGTERM")
    await once(child, "exit")
  }

  /** A hub with these flags can keep an event there. */
  async function keepsAnEvent(flags: Readonly<Record<string, string>>): Promise<void> {
    const loaded = loadSettings({
      flags: { data: join(home, "hub"), port: "0", logLevel: "silent", ...flags },
      env: {},
      readFile: () => undefined,
    })
    if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
    const hub = await serveHub(loaded.settings)
    try {
      const key = readFileSync(join(home, "hub", "admin.key"), "utf8").trim()
      const answer = await fetch(`${hub.address}/v1/topics/orders/events`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/cloudevents+json" },
        body: JSON.stringify({ specversion: "1.0", id: "1", source: "/shop", type: "order.created" }),
      })
      expect(answer.status).toBe(202)
      const ready = (await (await fetch(`${hub.address}/readyz`)).json()) as object
      expect(ready).toMatchObject({ ready: true, degraded: [], warnings: [] })
    } finally {
      await hub.stop()
    }
  }

  test("nats.conf starts with the accounts.conf that redcar nats init makes, as a cluster for a hub", async () => {
    const base = await freeBase(6)
    const names = ["n1", "n2", "n3"]
    const files = join(home, "nats")
    const servers = names.flatMap((name) => ["--server", `${name}=127.0.0.1`])
    expect(await runCli(["nats", "init", "--out", files, ...servers])).toMatchObject({ code: 0 })
    const text = readFileSync(deploy("nats.conf"), "utf8")
    copyFileSync(join(files, "accounts.conf"), join(home, "accounts.conf"))
    for (const [i, name] of names.entries()) {
      const config = text
        .replace("0.0.0.0:4222", `127.0.0.1:${base + i}`)
        .replace("127.0.0.1:8222", `127.0.0.1:${base + i + 4_000}`)
        .replace("0.0.0.0:6222", `127.0.0.1:${base + i + 2_000}`)
      writeFileSync(join(home, `${name}.conf`), config)
      const [one, two] = [0, 1, 2].filter((other) => other !== i)
      const env = {
        NATS_NAME: name,
        NATS_ADDRESS: `127.0.0.1:${base + i + 2_000}`,
        NATS_ROUTES_1: `nats://127.0.0.1:${base + one! + 2_000}`,
        NATS_ROUTES_2: `nats://127.0.0.1:${base + two! + 2_000}`,
        NATS_DATA: join(home, name),
        NATS_ACCOUNTS: join(home, `${name}-accounts`),
      }
      running.push(spawn(program!, ["-c", join(home, `${name}.conf`)], { env, stdio: "ignore" }))
    }
    await healthy(base + 4_000)
    await keepsAnEvent({
      engine: [0, 1, 2].map((i) => `nats://127.0.0.1:${base + i}`).join(","),
      "nats.replicas": "3",
      "nats.credentials": join(files, "hub.creds"),
      "nats.issuer": join(files, "issuer.json"),
      requireDurable: "true",
    })
  }, 90_000)

  test("three-servers.sh runs a cluster, says which hub to start on it, and stops it", async () => {
    const base = await freeBase(3)
    const env = { PATH: process.env.PATH, NATS_SERVER: program, PORT: String(base) }
    const script = spawn(deploy("three-servers.sh"), [join(home, "three")], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    })
    running.push(script)
    let said = ""
    script.stdout.on("data", (part: Buffer) => {
      said += part.toString()
    })
    await healthy(base + 4_000)
    const [, line] = /^ +redcar (serve .*)$/m.exec(said)!
    const [, engine, , replicas] = shellWords(line!).slice(1)
    expect(shellWords(line!)).toEqual(["serve", "--engine", engine, "--nats-replicas", "3"])
    await keepsAnEvent({ engine: engine!, "nats.replicas": replicas! })
    await end(script)
    for (const i of [0, 1, 2]) await expect(fetch(`http://127.0.0.1:${base + i + 4_000}/healthz`)).rejects.toThrow()
  }, 90_000)
})

const analyze = "/usr/bin/systemd-analyze"
const units = ["redcar.service", "redcar@.service", "nats.service"]

test.skipIf(!existsSync(analyze)).each(units)("%s is a unit for systemd (skipped where there is none)", (name) => {
  const folder = mkdtempSync(join(tmpdir(), "redcar-unit-"))
  try {
    // What it starts is not installed here.
    const text = readFileSync(deploy(name), "utf8").replaceAll(/^(Exec\w+=)\S+/gm, "$1/bin/true")
    const unit = join(folder, name.replace("@.", "@ingest."))
    writeFileSync(unit, text)
    const { status, stderr } = spawnSync(analyze, ["verify", "--man=no", unit], { encoding: "utf8" })
    expect({ status, said: stderr.split("\n").filter((line) => line.includes(folder)) }).toEqual({
      status: 0,
      said: [],
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("redcar.service starts a hub that is its user's alone, and stops it in time", async () => {
  const home = mkdtempSync(join(tmpdir(), "redcar-unit-"))
  try {
    writeFileSync(join(home, "redcar.yaml"), "port: 0\nlogFormat: json\n")
    const text = readFileSync(deploy("redcar.service"), "utf8")
    const [, line] = /^ExecStart=\/usr\/bin\/redcar (.*)$/m.exec(text)!
    const args = line!
      .replace("/etc/redcar/redcar.yaml", join(home, "redcar.yaml"))
      .replace("/var/lib/redcar", join(home, "data"))
    const hub = spawn(process.execPath, ["bin/redcar.js", ...args.split(" ")], { stdio: ["ignore", "pipe", "inherit"] })
    const address = await new Promise<string>((resolve, reject) => {
      let said = ""
      hub.stdout.on("data", (part: Buffer) => {
        said += part.toString()
        const [, found] = /"address":"([^"]+)"/.exec(said) ?? []
        if (found !== undefined) resolve(found)
      })
      hub.once("exit", () => reject(new Error(said)))
    })
    expect((await fetch(`${address}/readyz`)).status).toBe(200)
    expect(statSync(join(home, "data")).mode & 0o777).toBe(0o700)
    const [, seconds] = /^TimeoutStopSec=(\d+)$/m.exec(text)!
    const loaded = loadSettings({ flags: {}, env: {}, readFile: () => undefined })
    if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
    expect(Number(seconds) * 1_000).toBeGreaterThan(2 * loaded.settings.delivery.shutdownGraceMs)
    hub.kill("SIGTERM")
    expect(await once(hub, "exit")).toEqual([0, null])
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}, 60_000)

/** Resolves when all three servers say that they are; their monitors are at this port and the next two. */
async function healthy(monitor: number): Promise<void> {
  for (const port of [monitor, monitor + 1, monitor + 2]) {
    const ask = () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      )
    await expect.poll(ask, { timeout: 40_000, interval: 50 }).toBe(true)
  }
}

/** A port from which on so many are free, and so many 2,000 and 4,000 above. */
async function freeBase(count: number): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const base = 20_000 + Math.floor(Math.random() * 8_000)
    const ports = [0, 2_000, 4_000].flatMap((above) => Array.from({ length: count }, (_, i) => base + above + i))
    const free = await Promise.all(ports.map(isFree))
    if (free.every(Boolean)) return base
  }
  throw new Error("there are no free ports")
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listening = new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => resolve(true))
  })
  const free = await listening
  if (free) await new Promise((resolve) => server.close(resolve))
  return free
}
