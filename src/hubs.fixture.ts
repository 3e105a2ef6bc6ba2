import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach } from "vitest"
import { type RestartableHub, startHubOn } from "./restart.fixture.ts"
import { startNats } from "./testing/nats.ts"

/** What the tests of one file start, and its directories; all of it ends behind each test. */
export interface TestHubs {
  /** A new one. */
  directory(): string
  start(data: string, flags?: Readonly<Record<string, string>>): Promise<RestartableHub>
  /** The URL of a NATS server of its own. */
  nats(): Promise<string>
  /** A hub on this engine; `again` starts it anew on what it left, under the same admin key. */
  startOn(engine: "embedded" | "nats"): Promise<{ readonly hub: RestartableHub; again(): Promise<RestartableHub> }>
}

/** `name`: of the tests, for the names of directories. */
export function testHubs(name: string): TestHubs {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const hubs: TestHubs = {
    directory() {
      const data = mkdtempSync(join(tmpdir(), `redcar-${name}-`))
      closing.push(async () => rmSync(data, { recursive: true, force: true }))
      return data
    },
    async start(data, flags) {
      const hub = await startHubOn(data, flags)
      closing.push(() => hub.stop().catch(() => {}))
      return hub
    },
    async nats() {
      const nats = await startNats()
      closing.push(() => nats.stop())
      return nats.url
    },
    async startOn(engine) {
      const data = hubs.directory()
      writeFileSync(join(data, "admin.key"), `rck_${"k".repeat(43)}\n`, { mode: 0o600 })
      const flags = engine === "nats" ? { engine: await hubs.nats() } : {}
      const again = () => hubs.start(data, flags)
      return { hub: await again(), again }
    },
  }
  return hubs
}
