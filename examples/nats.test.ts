import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { jetstream } from "@nats-io/jetstream"
import { headers } from "@nats-io/nats-core"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openTestApi, type TestApi } from "../src/api/api.fixture.ts"
import { runCli } from "../src/cli/terminal.fixture.ts"
import { type Bed, openBed } from "../src/engines/jetstream/credentials/bed.fixture.ts"
import { natsAvailable } from "../src/testing/nats.ts"

const page = readFileSync(new URL("../docs/nats.md", import.meta.url), "utf8")
/** Where imports of packages find them. */
const scratch = fileURLToPath(new URL("../node_modules/.vitest/", import.meta.url))

/** The program that the page shows under this name. */
function shown(name: string): string {
  const [, program] = new RegExp(`\`\`\`js ${name}\\n([\\s\\S]*?)\`\`\``).exec(page)!
  return program!
}

const program = natsAvailable()
const title = program === undefined ? "docs/nats.md: SKIPPED, there is no nats-server here" : "docs/nats.md"

describe.skipIf(program === undefined)(title, () => {
  let home: string
  let bed: Bed
  let api: TestApi
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "redcar-docs-nats-"))
    mkdirSync(scratch, { recursive: true })
    bed = await openBed()
    api = await openTestApi({ credentials: bed.credentials })
  })
  afterAll(async () => {
    await api?.close()
    await bed?.close()
    rmSync(home, { recursive: true })
  })

  /** Runs a program of the page where `shop.creds` lies; answers what it prints. */
  async function run(name: string): Promise<string> {
    const file = join(scratch, `docs-nats-${name}-${process.pid}.mjs`)
    expect(shown(name)).toContain("nats://127.0.0.1:4222")
    writeFileSync(file, shown(name).replace("nats://127.0.0.1:4222", bed.nats.url))
    try {
      return (await promisify(execFile)(process.execPath, [file], { cwd: home })).stdout
    } finally {
      rmSync(file)
    }
  }

  test("its programs publish and read with the credentials that its command issues", async () => {
    const command = /^\$ redcar (tenant nats-credentials default --out shop\.creds)$/m.exec(page)![1]!
    const words = command.replace("shop.creds", join(home, "shop.creds")).split(" ")
    const issued = await runCli(words, { env: { REDCAR_URL: api.url, REDCAR_KEY: "admin" } })
    expect(issued).toMatchObject({ code: 0, err: "" })

    await run("publish")
    const { subject, header, data } = (await bed.manager.streams.getMessage("REDCAR_INBOX", { seq: 1 }))!
    expect(subject).toBe("redcar.default.orders.o-1001")
    expect(header!.get("ce-datacontenttype")).toBe("application/json")

    // The hub's part: what is in the inbox comes into the log.
    const kept = headers()
    for (const [name, [value]] of header!) kept.set(name, value!)
    await jetstream(bed.hub).publish("_redcar.log.1.default.orders.o-1001", data, { headers: kept })
    expect(await run("read")).toBe("redcar.default.orders.o-1001 order.created { total: 12 }\n")
    // What is acknowledged does not come again.
    expect(await run("read")).toBe("")
  })
})
