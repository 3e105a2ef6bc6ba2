import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type RestartableHub, startHubOn, startReceiver, until } from "../../restart.fixture.ts"
import { exitCodes } from "../failures.ts"
import { runCli } from "../terminal.fixture.ts"

let home: string
let data: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "redcar-rebuild-"))
  data = join(home, "data")
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  rmSync(home, { recursive: true, force: true })
})

async function start(): Promise<RestartableHub> {
  const hub = await startHubOn(data)
  closing.push(() => hub.stop())
  return hub
}

const event = (id: string, type: string) => ({
  specversion: "1.0",
  id,
  source: "/shop",
  type,
  data: { marker: `marker-${id}` },
})

interface Fate {
  readonly state: string
}

async function fatesOf({ call }: RestartableHub, cursors: readonly string[]): Promise<readonly Fate[]> {
  const answers = await Promise.all(cursors.map((cursor) => call("GET", `/v1/events/${cursor}/deliveries`)))
  return answers.flatMap(({ body }) => body.items as readonly Fate[])
}

/** A folder with eight events, of which five wait for their retry and three are dead letters; answers their cursors. */
async function fill(): Promise<readonly string[]> {
  const receiver = await startReceiver()
  closing.push(() => receiver.stop())
  const hub = await start()
  const { call } = hub
  await call("POST", "/v1/destinations", { id: "shop", kind: "webhook", config: { url: receiver.url } })
  const trigger = { topic: "orders", destination: "shop" }
  const filters = (type: string) => [{ exact: { type } }]
  await call("POST", "/v1/triggers", {
    ...trigger,
    id: "later",
    filters: filters("later"),
    retry: { delays: ["1h"], attemptsMax: 5, ageMax: "1d" },
  })
  await call("POST", "/v1/triggers", { ...trigger, id: "never", filters: filters("never"), retry: "none" })
  const cursors: string[] = []
  for (let n = 0; n < 8; n++) {
    const { body } = await call("POST", "/v1/topics/orders/events", event(`e${n}`, n < 5 ? "later" : "never"))
    cursors.push(body.cursor)
  }
  await until(async () => (await fatesOf(hub, cursors)).filter(({ state }) => /parked|dead/.test(state)).length === 8)
  await hub.stop()
  return cursors
}

const counts = {
  events: 8,
  resources: { topics: 1, triggers: 2, destinations: 1 },
  openDeliveries: 5,
  deadLetters: 3,
  health: [],
}

/** Every file under a directory, by what is in it. */
function bytesOf(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name)
      return [path, createHash("sha256").update(readFileSync(path)).digest("hex")]
    }),
  )
}

/** Flips one bit of the data of an event in the log. */
function flipIn(id: string): void {
  const name = readdirSync(join(data, "log")).find((each) => each.endsWith(".segment"))!
  const bytes = readFileSync(join(data, "log", name))
  const at = bytes.indexOf(`marker-${id}"`)
  expect(at).toBeGreaterThan(0)
  bytes[at]! ^= 4
  writeFileSync(join(data, "log", name), bytes)
}

const nobody = ["--url", "http://127.0.0.1:1"]

interface Checked {
  readonly name: string
  readonly result: string
  readonly detail: string
  readonly next?: string
}

async function folderCheck(...flags: readonly string[]): Promise<Checked | undefined> {
  const { out } = await runCli(["doctor", "--data", data, ...nobody, "--json", ...flags])
  return (JSON.parse(out).checks as readonly Checked[]).find(({ name }) => name === "folder")
}

describe("redcar doctor --rebuild", () => {
  test("makes all but the log anew, and says what there is; the hub goes on as if nothing had been", async () => {
    const cursors = await fill()
    const hub = await start()
    const before = await fatesOf(hub, cursors)
    await hub.stop()
    rmSync(join(data, "state"), { recursive: true })
    const { code, out, err } = await runCli(["doctor", "--rebuild", "--data", data, "--json"])
    expect([code, err]).toEqual([0, ""])
    expect(JSON.parse(out)).toEqual({ data, seconds: expect.any(Number), ...counts })
    const again = await start()
    expect(await fatesOf(again, cursors)).toEqual(before)
    expect((await again.call("GET", "/v1/dead-letters")).body.items).toHaveLength(3)
    expect((await again.call("GET", "/v1/triggers")).body.items).toHaveLength(2)
  }, 60_000)

  test("shows people a bar, counts and seconds", async () => {
    await fill()
    const { code, out, err } = await runCli(["doctor", "--rebuild", "--data", data], {
      columns: 120,
      env: { NO_COLOR: "1" },
    })
    expect(code).toBe(0)
    expect(err).toContain("doing again what was done to resources and deliveries")
    expect(out).toMatch(
      /^✓ made the state of .* anew from its log, in \d+\.\d s\n {2}8 events, 1 topic, 2 triggers, 1 destination, 5 open deliveries, 3 dead letters\n$/,
    )
  }, 60_000)

  test("is refused while a hub runs, which it names; nothing changes", async () => {
    const hub = await start()
    const { code, err } = await runCli(["doctor", "--rebuild", "--data", data])
    expect(code).toBe(exitCodes.failed)
    expect(err).toMatch(new RegExp(`^error: another hub \\(process ${process.pid} on .*\\) has .* open\nStop that one`))
    expect((await hub.call("GET", "/readyz")).body).toMatchObject({ ready: true, degraded: [] })
  }, 30_000)

  test("throws nothing away where the log cannot replace it", async () => {
    await fill()
    for (const name of readdirSync(join(data, "log"))) rmSync(join(data, "log", name))
    const before = bytesOf(join(data, "state"))
    const { code, err } = await runCli(["doctor", "--rebuild", "--data", data])
    expect([code, err]).toEqual([exitCodes.failed, expect.stringContaining("but its log/ is gone")])
    expect(err).toContain("Bring back log/ from a copy")
    expect(bytesOf(join(data, "state"))).toEqual(before)
  }, 30_000)

  test("wants a hub's folder, and one of the engine that has a state", async () => {
    const nowhere = await runCli(["doctor", "--rebuild", "--data", join(home, "nowhere")])
    expect([nowhere.code, nowhere.err]).toEqual([exitCodes.usage, expect.stringContaining("there is no hub's log in")])
    const env = { REDCAR_ENGINE: "nats://127.0.0.1:4222" }
    const nats = await runCli(["doctor", "--rebuild", "--data", data], { env })
    expect([nats.code, nats.err]).toEqual([
      exitCodes.usage,
      expect.stringContaining("NATS JetStream, which has no state"),
    ])
    expect(existsSync(join(home, "nowhere"))).toBe(false)
  })

  test("names what of the log is damaged, and fails", async () => {
    const [, second, third] = await fill()
    flipIn("e1")
    const { code, out } = await runCli(["doctor", "--rebuild", "--data", data, "--json"])
    expect(code).toBe(exitCodes.failed)
    expect(JSON.parse(out)).toMatchObject({ events: 7, health: [expect.stringContaining(`(cursors ${second} to `)] })
    expect(JSON.parse(out).health[0].match(/to (\w+)\)/)[1] <= third!).toBe(true)
  }, 60_000)
})

describe("redcar doctor on the folder of a hub that does not run", () => {
  test("finds it whole, and changes nothing", async () => {
    await fill()
    const before = bytesOf(data)
    expect(await folderCheck()).toMatchObject({ result: "good", detail: expect.stringContaining("are whole") })
    const audited = {
      result: "good",
      detail: expect.stringMatching(/is whole: \d+ events; all there, once, and whole/),
    }
    expect(await folderCheck("--audit")).toMatchObject(audited)
    expect(bytesOf(data)).toEqual(before)
  }, 30_000)

  test("names a file that is not the hub's, and a state that cannot be used", async () => {
    await fill()
    writeFileSync(join(data, "log", "foo.segment"), "x")
    truncateSync(join(data, "state", "data.mdb"), 8_192)
    const before = bytesOf(data)
    const check = await folderCheck()
    expect(check).toMatchObject({ result: "bad", next: expect.stringContaining("docs/damage.md") })
    expect(check!.detail).toContain("log/foo.segment is no file of the hub's; it is left alone")
    expect(check!.detail).toContain(
      "state/ cannot be used (its file was cut short); a start makes it anew from the log",
    )
    expect(bytesOf(data)).toEqual(before)
  }, 30_000)

  test("reads all of it for --audit, and names a flipped bit by its cursors", async () => {
    const [, second] = await fill()
    flipIn("e1")
    expect(await folderCheck("--audit")).toMatchObject({
      result: "bad",
      detail: expect.stringContaining(`(cursors ${second} to `),
    })
  }, 30_000)

  test("says who has it open", async () => {
    await start()
    expect(await folderCheck()).toMatchObject({
      result: "bad",
      detail: expect.stringMatching(new RegExp(`another hub \\(process ${process.pid} .*does not answer here`)),
      next: expect.stringContaining("--url"),
    })
  }, 30_000)

  test("looks at the folder, and not at another hub that answers", async () => {
    await fill()
    flipIn("e1")
    const other = await startHubOn(join(home, "other"))
    closing.push(() => other.stop())
    const asked = (...flags: readonly string[]) => runCli(["doctor", "--url", other.address, "--json", ...flags])
    const { code, out } = await asked("--data", data, "--audit")
    const checks = JSON.parse(out).checks as readonly Checked[]
    expect(code).toBe(exitCodes.failed)
    const detail = `${other.address} answers, but does not have ${data} open: it was not asked, the folder was looked at`
    expect(checks).toContainEqual({ name: "hub", result: "skipped", detail })
    expect(checks.filter(({ name }) => /^(folder|damaged)$/.test(name))).not.toEqual([])
    expect(checks.map(({ name }) => name)).not.toContain("log")
    await start()
    const both = JSON.parse((await asked("--data", data)).out).checks as readonly Checked[]
    expect(both.find(({ name }) => name === "folder")).toMatchObject({
      result: "bad",
      detail: expect.stringContaining("does not answer here"),
    })
    const own = JSON.parse((await asked("--data", join(home, "other"))).out).checks as readonly Checked[]
    expect(own.find(({ name }) => name === "log")).toMatchObject({ result: "good" })
    expect(own.find(({ name }) => name === "folder")).toBeUndefined()
  }, 30_000)

  test("asks no hub about a copy of its folder that another one has open", async () => {
    await fill()
    const copy = join(home, "copy")
    cpSync(data, copy, { recursive: true })
    const original = await startHubOn(data)
    closing.push(() => original.stop())
    const held = await startHubOn(copy)
    closing.push(() => held.stop())
    const checksOf = async (url: string) => {
      const { out } = await runCli(["doctor", "--audit", "--url", url, "--data", copy, "--json"])
      return JSON.parse(out).checks as readonly Checked[]
    }
    const checks = await checksOf(original.address)
    expect(checks.find(({ name }) => name === "audit")).toBeUndefined()
    expect(checks.find(({ name }) => name === "hub")!.detail).toContain(`does not have ${copy} open`)
    expect(checks.find(({ name }) => name === "folder")).toMatchObject({
      result: "bad",
      detail: expect.stringContaining("does not answer here"),
    })
    expect((await checksOf(held.address)).find(({ name }) => name === "audit")).toMatchObject({ result: "good" })
  }, 30_000)

  test.each([
    ["log/ gone", ["log"]],
    ["all but the key gone", ["log", "state"]],
  ])(
    "says that the log is gone: %s",
    async (_, names) => {
      await fill()
      for (const name of names) rmSync(join(data, name), { recursive: true })
      const said = {
        detail: `a hub was in ${data}, but its log/ is gone: nothing is left of its events`,
        next: "Bring back log/ from a copy of the data directory; without it the next start begins an empty log.",
      }
      expect(await folderCheck()).toEqual({ name: "folder", result: "bad", ...said })
      const { code, err } = await runCli(["doctor", "--rebuild", "--data", data])
      expect([code, err]).toEqual([exitCodes.failed, `error: ${said.detail}\n${said.next}\n`])
    },
    30_000,
  )

  test("says that a state that is not there is made anew", async () => {
    await fill()
    rmSync(join(data, "state"), { recursive: true })
    expect(await folderCheck()).toMatchObject({
      result: "good",
      detail: `its files and the end of its log in ${data} are whole; state/ is not there, and the next start makes it anew; --audit reads all of it`,
    })
  }, 30_000)

  test("refuses an admin key as a start does", async () => {
    await fill()
    writeFileSync(join(data, "admin.key"), "garbage")
    const { out } = await runCli(["doctor", "--data", data, ...nobody, "--json"])
    expect((JSON.parse(out).checks as readonly Checked[]).find(({ name }) => name === "key file")).toEqual({
      name: "key file",
      result: "bad",
      detail: `${join(data, "admin.key")} holds no key`,
      next: "Put back the one that it held, or remove it to get a new key at the next start.",
    })
    await expect(start()).rejects.toThrow("holds no key")
  }, 30_000)

  test("has nothing to say where there is none", async () => {
    expect(await folderCheck()).toBeUndefined()
  })
})

test("a hub that runs names damage to probes, to the doctor and to Prometheus, by its cursors", async () => {
  const [, second] = await fill()
  flipIn("e1")
  const hub = await start()
  const read = await hub.call("GET", "/v1/topics/orders/events?from=oldest")
  expect((read.body as readonly { id: string }[]).map(({ id }) => id)).toEqual([
    "e0",
    "e2",
    "e3",
    "e4",
    "e5",
    "e6",
    "e7",
  ])
  const ready = await hub.call("GET", "/readyz")
  const line = expect.stringContaining(`(cursors ${second} to `)
  expect(ready).toMatchObject({ status: 200, body: { ready: true, degraded: [line] } })
  const metrics = (await hub.call("GET", "/metrics")).body as string
  expect(metrics).toMatch(/^redcar_log_damages 1$/m)
  expect(metrics).toMatch(/^redcar_log_damaged_bytes [1-9]\d*$/m)
  expect(metrics).toMatch(/^redcar_log_missing_bytes 0$/m)
  const { code, out } = await runCli(["doctor", "--url", hub.address, "--data", data, "--json"])
  expect(code).toBe(exitCodes.failed)
  const checks = JSON.parse(out).checks as readonly Checked[]
  for (const name of ["ready", "log"]) expect(checks).toContainEqual(expect.objectContaining({ name, detail: line }))
}, 30_000)

test("a folder and its copy: the copy is held while one looks at it", async () => {
  await fill()
  const copy = join(home, "copy")
  cpSync(data, copy, { recursive: true })
  const held = await startHubOn(copy, { hold: "true" })
  closing.push(() => held.stop())
  expect((await held.call("GET", "/v1/dead-letters")).body.items).toHaveLength(3)
  expect(await held.call("POST", "/v1/topics/orders/events", event("new", "x"))).toMatchObject({ status: 503 })
}, 30_000)
