import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { createSimulatedChance } from "../src/testing/chance.ts"
import { cursorAt } from "./account.ts"
import { differences } from "./bytes.ts"
import { kinds } from "./kinds.ts"

const root = mkdtempSync(join(tmpdir(), "redcar-damage-kinds-"))
afterAll(() => rmSync(root, { recursive: true }))

const segmentBytes = 1 << 14

/** A folder with the files of a hub, whose bytes are noise. */
function folderOf(name: string, segments: number): string {
  const folder = join(root, name)
  const chance = createSimulatedChance(name)
  const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => chance.between(1, 255)))
  for (const part of ["log", "state"]) mkdirSync(join(folder, part), { recursive: true })
  for (let i = 0; i < segments; i++)
    writeFileSync(join(folder, "log", `${cursorAt(8 + i * segmentBytes)}.segment`), noise(segmentBytes))
  writeFileSync(join(folder, "log", "spare"), noise(segmentBytes))
  for (const file of ["data.mdb", "lock.mdb"]) writeFileSync(join(folder, "state", file), noise(5 * 4096))
  return folder
}

const whole = folderOf("whole", 4)
const early = folderOf("early", 2)
const foreign = folderOf("foreign", 3)
const positions = Array.from({ length: 200 }, (_, i) => 8 + i * 320)

/** What a kind did, and where the files that were there are not any more what they were. */
function inflicted(name: string, seed: number) {
  const folder = join(root, "damaged")
  rmSync(folder, { recursive: true, force: true })
  cpSync(whole, folder, { recursive: true })
  const kind = kinds.find((one) => one.name === name)!
  const what = kind.inflict({ folder, early, foreign, positions, chance: createSimulatedChance(seed) })
  const files = [
    differences(join(whole, "log"), join(folder, "log")),
    differences(join(whole, "state"), join(folder, "state")),
  ]
  return { what, log: files[0]!, state: files[1]! }
}

for (const { name } of kinds) {
  test(`${name} damages what it says, and the same again from the same seed`, () => {
    const all = Array.from({ length: 12 }, (_, seed) => inflicted(name, seed))
    expect(inflicted(name, 0)).toEqual(all[0])
    expect(all.every(({ what }) => what !== undefined)).toBe(true)
    const damages = (part: "log" | "state") => all.filter((one) => one[part].length > 0).length
    const harmless = ["none", "read-only", "foreign-file", "log-extend", "state-extend"].includes(name)
    expect(damages("log") > 0).toBe(name.startsWith("log-") && !harmless)
    expect(damages("state") > 0).toBe((name.startsWith("state-") || name.endsWith("-state")) && !harmless)
  })
}

test("a flipped bit is one difference, where it is said to be", () => {
  const { what, log } = inflicted("log-record-head", 3)
  const [, file, byte] = /^log\/(\S+): bit \d of byte (\d+) flipped/.exec(what!)!
  expect(log).toHaveLength(1)
  expect(log[0]).toMatchObject({ file })
  expect(log[0]!.from <= Number(byte) && Number(byte) < log[0]!.to).toBe(true)
})
