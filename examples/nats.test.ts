import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { runCli } from "../src/cli/terminal.fixture.ts"
import { HubProcess } from "../src/testing/hub-process.ts"
import { type Nats, natsAvailable, startNats } from "../src/testing/nats.ts"

const page = readFileSync(new URL("../docs/nats.md", import.meta.url), "utf8")
/** Where imports of packages find them. */
const scratch = fileURLToPath(new URL("../node_modules/.vitest/", import.meta.url))

/** The program that the page shows under this name. */
function shown(name: string): string {
  const [, program] = new RegExp(`\`\`\`js ${name}\\n([\\s\\S]*?)\`\`\``).exec(page)!
  return program!
}

/** The command that the page shows, with its last word another one. */
function command(begin: string, last: string): readonly string[] {
  const line = page.split("\n").find((each) => each.startsWith(`$ redcar ${begin}`))!
  return [...line.slice("$ redcar ".length).split(" ").slice(0, -1), last]
}

const program = natsAvailable()
const title = program === undefined ? "docs/nats.md: SKIPPED, there is no nats-server here" : "docs/nats.md"

describe.skipIf(program === undefined)(title, () => {
  const key = `rck_${randomBytes(32).toString("base64url")}`
  let home: string
  let nats: Nats
  let hub: HubProcess

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "redcar-docs-nats-"))
    mkdirSync(scratch, { recursive: true })
    const files = join(home, "nats")
    expect(await runCli(command("nats init", files))).toMatchObject({ code: 0, err: "" })
    const accounts = readFileSync(join(files, "accounts.conf"), "utf8")
    nats = await startNats({
      config: (folder) =>
        `resolver { type: full, dir: "${join(folder, "accounts")}", allow_delete: true }\n${accounts}`,
    })
    const engine = ["--engine", nats.url]
    const secrets = ["--nats-credentials", join(files, "hub.creds"), "--nats-issuer", join(files, "issuer.json")]
    hub = new HubProcess({
      name: "hub",
      roles: ["ingest", "route", "deliver", "api"],
      directory: home,
      logDirectory: home,
      key,
      flags: [...engine, ...secrets],
    })
    await hub.start()
  }, 60_000)

  afterAll(async () => {
    await hub?.close()
    await nats?.stop()
    rmSync(home, { recursive: true })
  })

  /** Runs a program of the page where `shop.creds` lies; answers what it prints. */
  async function run(name: string): Promise<string> {
    const file = join(scratch, `docs-nats-${name}-${process.pid}.mjs`)
    expect(shown(name)).toContain("nats://127.0.0.1:4222")
    writeFileSync(file, shown(name).replace("nats://127.0.0.1:4222", nats.url))
    try {
      return (await promisify(execFile)(process.execPath, [file], { cwd: home })).stdout
    } finally {
      rmSync(file)
    }
  }

  /** What the hub has of the topic, as soon as there is something. */
  async function stored(): Promise<Record<string, unknown>> {
    const answer = await hub.call("GET", "/v1/topics/orders/stream?from=oldest")
    for await (const part of answer.body!) {
      const [, json] = /^data: (.*)$/m.exec(Buffer.from(part).toString()) ?? []
      if (json !== undefined) return JSON.parse(json) as Record<string, unknown>
    }
    throw new Error("the stream ended")
  }

  test("the hub is started as `redcar nats init` says", async () => {
    const { out } = await runCli(["nats", "init", "--out", join(home, "again")])
    const said = out.split("\n").find((line) => line.trim().startsWith("redcar serve"))!
    const shown = page.split("\n").find((line) => line.startsWith("$ redcar serve --engine nats://127.0.0.1:4222"))!
    expect(shown.slice(2)).toBe(said.trim().replaceAll(join(home, "again"), "nats"))
  })

  test("its programs publish and read with the credentials that its command issues", async () => {
    await hub.call("POST", "/v1/topics", { id: "orders" })
    const words = command("tenant nats-credentials default --out", join(home, "shop.creds"))
    const issued = await runCli(words, { env: { REDCAR_URL: hub.address!, REDCAR_KEY: key } })
    expect(issued).toMatchObject({ code: 0, err: "" })

    await run("publish")
    expect(await stored()).toMatchObject({ id: "1001", source: "/shop/eu", type: "order.created", data: { total: 12 } })
    expect(await run("read")).toBe('redcar.default.orders.o-1001 order.created {"total": 12}\n')
    // What is acknowledged does not come again.
    expect(await run("read")).toBe("")
  })
})
