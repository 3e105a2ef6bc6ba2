import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { isReservedTopic } from "../core/address.ts"
import type { StoredEvent } from "../core/engine.ts"
import { createSimulatedChance } from "../testing/chance.ts"
import { furnish, openHouse, temporary } from "./house.fixture.ts"

const fixture = new URL("./house.fixture.ts", import.meta.url).href

/** Runs a process that moves, and kills it after `ms` of copying; answers what it said last, "killed" where it was. */
async function moveAndKill(places: readonly [from: string, to: string, work: string], ms: number): Promise<string> {
  const script = `
    import { moveDirectories } from ${JSON.stringify(fixture)}
    await moveDirectories(...process.argv.slice(1))`
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, ...places])
  let [out, errors] = ["", ""]
  child.stdout.on("data", (data) => {
    out += data
  })
  child.stderr.on("data", (data) => {
    errors += data
  })
  child.stdout.once("data", () => setTimeout(() => child.kill("SIGKILL"), ms))
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on("close", (code, signal) => resolve([code, signal])),
  )
  if (signal === "SIGKILL") return "killed"
  expect(code, errors).toBe(0)
  return out.trim().split("\n").at(-1)!
}

const plain = ({ address, event, storedAt }: StoredEvent) => ({ address, storedAt, ...event.attributes })

async function eventsIn(directory: string): Promise<readonly object[]> {
  const { log, close } = await openHouse(directory)
  const all: object[] = []
  for await (const { events } of log.read({})) {
    all.push(...events.filter(({ address }) => !isReservedTopic(address.topic)).map(plain))
  }
  await close()
  return all
}

test("a move that is killed again and again comes to its end, and doubles nothing", async () => {
  const home = temporary()
  const places = [join(home, "from"), join(home, "to"), join(home, "work")] as const
  const chance = createSimulatedChance("kills")
  try {
    const source = await openHouse(places[0])
    await furnish(source, "killed", 9_000)
    await source.close()
    let kills = 0
    let last = "killed"
    for (; last === "killed" && kills < 60; kills++)
      last = await moveAndKill(places, chance.between(0, 150 + kills * 20))
    expect(last).toBe("same")
    expect(kills).toBeGreaterThan(4)
    const before = await eventsIn(places[0])
    expect(before.length).toBeGreaterThan(6_000)
    expect(await eventsIn(places[1])).toEqual(before)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}, 120_000)
