import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { kinds } from "./kinds.ts"
import { runTrial } from "./trial.ts"
import { type OpenTrialHubs, openTrialHubs } from "./trial-hubs.ts"

const folder = mkdtempSync(join(tmpdir(), "redcar-damage-"))
chmodSync(folder, 0o755)
let prepared: OpenTrialHubs | undefined

beforeAll(async () => {
  prepared = await openTrialHubs(folder, 0)
}, 90_000)

afterAll(async () => {
  await prepared?.close()
  rmSync(folder, { recursive: true })
})

/** A sample of what `npm run damage` does; that one goes on long enough to find the rare. */
const sample = [
  "log-bit",
  "log-truncate",
  "log-delete-segment",
  "log-exchange",
  "log-stale",
  "foreign-file",
  "state-delete",
]
const seed = 1

test("after damage nothing else is lost, wrong or unnamed", { timeout: 180_000 }, async () => {
  for (const [i, name] of sample.entries()) {
    const kind = kinds.find((one) => one.name === name)!
    const { faults, damage, variant } = await runTrial(prepared!, { seed: seed + i, kind })
    expect(faults, `--seed ${seed + i} --only ${name} --variant ${variant}: ${damage.what.join("; and ")}`).toEqual([])
  }
})

test("a hub that is not what was promised is found out", { timeout: 30_000 }, async () => {
  const kind = kinds.find(({ name }) => name === "none")!
  const snapshots = {
    ...prepared!.oracle.snapshots,
    clean: { ...prepared!.oracle.snapshots.clean, dead: ["00000000000.dead"] },
  }
  const number = 9_997
  const acknowledged = [...prepared!.oracle.acknowledged, { number, cursor: "00000000010", at: 0 }]
  const oracle = { ...prepared!.oracle, snapshots, acknowledged }
  const { faults } = await runTrial({ ...prepared!, oracle }, { seed: 1, kind, variant: "clean" })
  expect(faults).toContainEqual("1 dead letters are gone (00000000000.dead)")
  expect(faults).toContainEqual("1 events that were not damaged cannot be read (invoices d9997 at 00000000010)")
})
