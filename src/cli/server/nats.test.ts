import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openJetStreamEngine } from "../../engines/jetstream/engine.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { natsAvailable, startNats } from "../../testing/nats.ts"
import { exitCodes } from "../failures.ts"
import { runCli, shellWords } from "../terminal.fixture.ts"

let home: string
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "redcar-nats-init-"))
})
afterAll(() => rmSync(home, { recursive: true }))

const program = natsAvailable()

/** What nats-server says of a configuration. */
function check(config: string): Promise<{ readonly code: number; readonly said: string }> {
  return new Promise((resolve) => {
    execFile(program!, ["-c", config, "-t"], (error, out, err) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, said: out + err }),
    )
  })
}

describe("redcar nats init", () => {
  test("writes what a server and a hub need, for this user alone, and says how to start them", async () => {
    const out = join(home, "one")
    const { code, out: said } = await runCli(["nats", "init", "--out", out])
    expect(code).toBe(0)
    expect(readdirSync(out).sort()).toEqual(["accounts.conf", "hub.creds", "issuer.json", "nats.conf", "operator.seed"])
    for (const name of readdirSync(out)) expect([name, statSync(join(out, name)).mode & 0o777]).toEqual([name, 0o600])
    expect(statSync(out).mode & 0o777).toBe(0o700)
    expect(said).toContain(`nats-server -c ${join(out, "nats.conf")}`)
    expect(said).not.toContain(readFileSync(join(out, "operator.seed"), "utf8").trim())
    expect(said).toContain(
      `redcar serve --engine nats://127.0.0.1:4222 --nats-credentials ${join(out, "hub.creds")} --nats-issuer ${join(out, "issuer.json")} --nats-monitor http://127.0.0.1:8222`,
    )
  })

  test("the command to serve with is one that redcar takes", async () => {
    const { out } = await runCli(["nats", "init", "--out", join(home, "flags"), "--nats-prefix", "shop", "--json"])
    const { serve } = JSON.parse(out) as { serve: string }
    const words = shellWords(serve).slice(1)
    expect(words).toContain("--nats-prefix")
    const { err, code } = await runCli([...words, "--port", "wrong"])
    expect(code).toBe(exitCodes.usage)
    expect(err).not.toMatch(/unknown option|--nats|--engine/)
  })

  test("never writes over anything, and leaves nothing by halves", async () => {
    const out = join(home, "taken")
    await runCli(["nats", "init", "--out", out])
    const seed = readFileSync(join(out, "operator.seed"), "utf8")
    const again = await runCli(["nats", "init", "--out", out])
    expect([again.code, readFileSync(join(out, "operator.seed"), "utf8")]).toEqual([exitCodes.usage, seed])
    for (const name of readdirSync(out)) if (name !== "operator.seed") rmSync(join(out, name))
    const third = await runCli(["nats", "init", "--out", out])
    expect(third.code).toBe(exitCodes.usage)
    expect(third.err).toContain("operator.seed cannot be written (EEXIST)")
    expect(readdirSync(out)).toEqual(["operator.seed"])
  })

  test("a cluster has a configuration for each server", async () => {
    const out = join(home, "three")
    const servers = ["n1=10.0.0.1", "n2=10.0.0.2", "n3=n3.example.com"].flatMap((each) => ["--server", each])
    const { code, out: said } = await runCli(["nats", "init", "--out", out, ...servers, "--listen", "0.0.0.0:4333"])
    expect(code).toBe(0)
    expect(said).toContain("--engine nats://10.0.0.1:4333,nats://10.0.0.2:4333,nats://n3.example.com:4333 ")
    expect(said).toContain("--nats-replicas 3")
    for (const name of ["n1", "n2", "n3"]) {
      expect(readFileSync(join(out, `${name}.conf`), "utf8")).toContain(
        'routes: ["nats://10.0.0.1:6222", "nats://10.0.0.2:6222", "nats://n3.example.com:6222"]',
      )
    }
  })

  test.each([
    [["--server", "n1=a", "--server", "n2=b"], /2 servers make no cluster/],
    [["--server", "n=a", "--server", "n=b", "--server", "n=c"], /each another way/],
    [["--server", "n1"], /name=host/],
    [["--server", "../n=a"], /name=host/],
    [["--server", 'n=a"]'], /name=host/],
    [["--nats-prefix", "A.b"], /a letter and up to 19/],
  ])("%j is refused before anything is made", async (flags, message) => {
    const out = join(home, "wrong")
    const { code, err } = await runCli(["nats", "init", "--out", out, ...flags])
    expect([code, err]).toEqual([exitCodes.usage, expect.stringMatching(message)])
    expect(existsSync(out)).toBe(false)
  })

  const title = program === undefined ? "nats-server takes it: SKIPPED, there is none here" : "nats-server takes it"
  test.skipIf(program === undefined)(title, async () => {
    const out = join(home, "checked")
    const servers = ["n1=10.0.0.1", "n2=10.0.0.2", "n3=10.0.0.3"].flatMap((each) => ["--server", each])
    await runCli(["nats", "init", "--out", out])
    await runCli(["nats", "init", "--out", `${out}3`, ...servers])
    for (const config of [join(out, "nats.conf"), join(`${out}3`, "n2.conf")]) {
      expect(await check(config)).toMatchObject({ code: 0, said: expect.stringContaining("is valid") })
    }
    writeFileSync(join(out, "accounts.conf"), "operator: nonsense")
    expect((await check(join(out, "nats.conf"))).code).not.toBe(0)
  })
})

describe("redcar nats scale", () => {
  test.each([
    [[], /embedded has no streams/],
    [["--engine", "nats://127.0.0.1:1", "--nats-replicas", "2"], /--nats-replicas: 2 is even/],
    [["--engine", "nats://127.0.0.1:1", "--nats-replicas", "many"], /--nats-replicas: "many" is not a whole number/],
    [
      ["--engine", "nats://127.0.0.1:1", "--nats-dedupe-window", "1s"],
      /--nats-dedupe-window: "1s" has to be from 2m to 7d/,
    ],
  ])("%j is refused before anything is asked", async (flags, message) => {
    const { code, err } = await runCli(["nats", "scale", ...flags])
    expect([code, err]).toEqual([exitCodes.usage, expect.stringMatching(message)])
  })

  const title = `shows a plan, asks, and changes${program === undefined ? ": SKIPPED, there is no nats-server" : ""}`
  test.skipIf(program === undefined)(title, async () => {
    const nats = await startNats()
    try {
      const engine = await openJetStreamEngine({
        servers: [nats.url],
        prefix: "redcar",
        partitions: 1,
        replicas: 1,
        dedupeWindowMsMax: 3_600_000,
        directory: join(home, "scaled"),
        serveQueue: false,
        pendingBytesMax: 1 << 20,
        clock: systemClock,
        log: { info() {}, warn() {}, error() {} },
      })
      await engine.close()
      const scale = (...flags: string[]) => runCli(["nats", "scale", "--engine", nats.url, ...flags])
      const asked = ["--nats-dedupe-window", "10m"]
      const plan = await scale(...asked, "--dry-run")
      expect([plan.code, plan.err]).toEqual([0, ""])
      expect(plan.out).toMatch(/REDCAR_LOG_0 +duplicate_window +3600s +600s/)
      const unasked = await scale(...asked)
      expect(unasked).toMatchObject({ code: exitCodes.usage, err: expect.stringContaining("give --yes") })
      const done = await scale(...asked, "--yes", "--json")
      const change = { stream: "REDCAR_LOG_0", setting: "duplicate_window", from: 3_600e9, to: 600e9 }
      expect(JSON.parse(done.out)).toEqual({ changes: [change], changed: true, behind: [] })
      expect((await scale(...asked, "--yes")).out).toContain("nothing is to be changed")
      const refused = await runCli([
        "serve",
        "--engine",
        nats.url,
        "--data",
        join(home, "scaled"),
        "--nats-partitions",
        "1",
        "--port",
        "0",
      ])
      expect(refused.code).toBe(exitCodes.failed)
      expect(refused.err).toContain("duplicate_window of REDCAR_LOG_0 is 600s, not 3600s")
      expect(refused.err).toContain("redcar nats scale --nats-dedupe-window 3600s")
    } finally {
      await nats.stop()
    }
  })
})
