import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { loadSettings } from "../src/config/load.ts"
import { natsAvailable } from "../src/testing/nats.ts"

const root = new URL("../deploy/", import.meta.url)
const read = (name: string) => readFileSync(new URL(name, root), "utf8")

test("the settings of the reference deployment are settings that a hub takes, for each role", () => {
  for (const role of ["ingest", "route", "deliver", "api"]) {
    const loaded = loadSettings({
      flags: { config: "redcar.yaml", roles: role },
      env: {},
      readFile: (path) => (path === "redcar.yaml" ? read("redcar.yaml") : undefined),
    })
    expect(loaded).toMatchObject({ kind: "settings", settings: { roles: [role], nats: { replicas: 3 } } })
  }
})

const program = natsAvailable()
test.skipIf(program === undefined)("NATS takes its configuration (skipped where there is no nats-server)", () => {
  const env = {
    ...process.env,
    NATS_NAME: "n1",
    NATS_ADDRESS: "n1.internal:6222",
    NATS_ROUTES_1: "nats://n2.internal:6222",
    NATS_ROUTES_2: "nats://n3.internal:6222",
    NATS_DATA: "/var/lib/nats",
  }
  const run = () => execFileSync(program!, ["-t", "-c", new URL("nats.conf", root).pathname], { env, stdio: "pipe" })
  expect(run).not.toThrow()
})
