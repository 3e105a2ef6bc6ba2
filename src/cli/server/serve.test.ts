import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { startHubOn } from "../../restart.fixture.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { exitCodes } from "../failures.ts"
import { runCli } from "../terminal.fixture.ts"

const bin = fileURLToPath(new URL("../../../bin/redcar.js", import.meta.url))
let home: string
let data: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "redcar-serve-"))
  data = join(home, "data")
})

afterEach(() => rmSync(home, { recursive: true, force: true }))

interface Line {
  readonly level: string
  readonly msg: string
  readonly percent?: number
  readonly seconds?: number
}

/** Starts a hub in a process of its own, stops it once it is ready, and answers the lines of its log. */
async function startAndStop(...flags: readonly string[]): Promise<readonly Line[]> {
  const args = [bin, "serve", "--data", data, "--port", "0", "--log-format", "json", ...flags]
  const child = spawn(process.execPath, args, { env: { PATH: process.env.PATH }, stdio: ["ignore", "pipe", "inherit"] })
  const lines: Line[] = []
  try {
    for await (const text of createInterface({ input: child.stdout! })) {
      lines.push(JSON.parse(text) as Line)
      if (lines.at(-1)!.msg === "redcar is ready") child.kill("SIGTERM")
    }
    if (child.exitCode === null) await once(child, "exit")
  } finally {
    child.kill("SIGKILL")
  }
  expect(child.exitCode).toBe(0)
  return lines
}

test("a start without a state says that it makes it anew, how far it is and that it is done", async () => {
  const hub = await startHubOn(data)
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.stop()
  rmSync(join(data, "state"), { recursive: true })
  const lines = await startAndStop()
  expect(lines).toContainEqual(
    expect.objectContaining({ level: "warn", msg: "the state is made anew from the log", percent: expect.any(Number) }),
  )
  expect(lines).toContainEqual(
    expect.objectContaining({ msg: "the state has been made anew", seconds: expect.any(Number) }),
  )
  const again = (await startAndStop()).map(({ msg }) => msg)
  expect(again.filter((msg) => msg.includes("anew"))).toEqual([])
}, 60_000)

test("what is wrong with the folder, and that the hub is held, is in the log", async () => {
  await (await startHubOn(data)).stop()
  writeFileSync(join(data, "log", "foo.segment"), "x")
  const lines = await startAndStop("--hold")
  expect(lines).toContainEqual(
    expect.objectContaining({ level: "error", msg: "log/foo.segment is no file of the hub's; it is left alone" }),
  )
  expect(lines).toContainEqual(
    expect.objectContaining({ level: "warn", msg: expect.stringMatching(/^the hub is held/) }),
  )
}, 60_000)

test("a second hub on the folder is refused, and told who has it", async () => {
  const hub = await startHubOn(data)
  try {
    const { code, err } = await runCli(["serve", "--data", data, "--port", "0", "--log-level", "silent"])
    expect(code).toBe(exitCodes.failed)
    expect(err).toMatch(
      new RegExp(
        `^error: another hub \\(process ${process.pid} on .+, since .+\\) has ${data} open\nStop that one, or `,
      ),
    )
  } finally {
    await hub.stop()
  }
}, 30_000)

test("a hub that finds its log gone for good says so, and what to do", async () => {
  await (await startHubOn(data)).stop()
  rmSync(join(data, "log"), { recursive: true })
  rmSync(join(data, "state"), { recursive: true })
  const lines = await startAndStop()
  expect(lines).toContainEqual(
    expect.objectContaining({
      level: "error",
      msg: expect.stringMatching(/^nothing is left of what was here: admin.key/),
    }),
  )
}, 60_000)

describe.skipIf(natsAvailable() === undefined)("--require-durable", () => {
  let nats: Nats
  beforeAll(async () => {
    nats = await startNats()
  }, 60_000)
  afterAll(() => nats.stop())

  test("refuses a NATS server that may lose what it has acknowledged, and says what to do", async () => {
    const args = ["serve", "--engine", nats.url, "--data", data, "--port", "0", "--log-level", "silent"]
    const { code, err } = await runCli([...args, "--require-durable"])
    expect(code).toBe(exitCodes.failed)
    expect(err).toMatch(/^error: requireDurable is set, but .*\n.* start without --require-durable\n$/)
  }, 30_000)
})

test("a folder that the system does not let it use is refused with what to do", async () => {
  writeFileSync(data, "no folder")
  const { code, err } = await runCli(["serve", "--data", join(data, "in"), "--port", "0", "--log-level", "silent"])
  expect([code, err]).toEqual([
    exitCodes.failed,
    expect.stringMatching(
      /^error: the data directory .* cannot be used: .* is a file, and has to be a directory\nMove that/,
    ),
  ])
})
