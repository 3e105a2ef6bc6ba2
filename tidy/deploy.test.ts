import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { loadSettings } from "../src/config/load.ts"

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
