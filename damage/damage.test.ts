import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type OpenBed, openBed } from "./bed.ts"
import { kinds } from "./kinds.ts"
import { runTrial } from "./trial.ts"

const folder = mkdtempSync(join(tmpdir(), "redcar-damage-"))
chmodSync(folder, 0o755)
let bed: OpenBed | undefined

beforeAll(async () => {
  bed = await openBed(folder, 0)
}, 90_000)

afterAll(async () => {
  await bed?.close()
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
    const { faults, damage, variant } = await runTrial(bed!, { seed: seed + i, kind })
    expect(faults, `--seed ${seed + i} --only ${name} --variant ${variant}: ${damage.what.join("; and ")}`).toEqual([])
  }
})

test("a hub that is not what was promised is found out", { timeout: 30_000 }, async () => {
  const kind = kinds.find(({ name }) => name === "none")!
  const snapshots = { ...bed!.oracle.snapshots, clean: { ...bed!.oracle.snapshots.clean, dead: ["00000000000.dead"] } }
  const number = 9_997
  const acknowledged = [...bed!.oracle.acknowledged, { number, cursor: "00000000010", at: 0 }]
  const oracle = { ...bed!.oracle, snapshots, acknowledged }
  const { faults } = await runTrial({ ...bed!, oracle }, { seed: 1, kind, variant: "clean" })
  expect(faults).toContainEqual("1 dead letters are gone (00000000000.dead)")
  expect(faults).toContainEqual("1 events that were not damaged cannot be read (invoices d9997 at 00000000010)")
})
