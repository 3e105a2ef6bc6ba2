import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { isReservedTopic } from "../core/address.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import { createSimulatedChance } from "../testing/chance.ts"
import { natsAvailable, startNats } from "../testing/nats.ts"
import { fillHub, openServers, openSmallEngine, temporary } from "./hub-to-migrate.fixture.ts"

const fixture = new URL("./hub-to-migrate.fixture.ts", import.meta.url).href

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
  // The one before was killed between its last word in the engines and its own end.
  if (errors.includes("has been moved to there already")) return "same"
  expect(code, errors).toBe(0)
  return out.trim().split("\n").at(-1)!
}

const plain = ({ address, event, storedAt }: StoredEvent) => ({ address, storedAt, ...event.attributes })

async function eventsIn({ log, close }: Engine): Promise<readonly object[]> {
  const all: object[] = []
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { events } of log.read({ partition })) {
      all.push(...events.filter(({ address }) => !isReservedTopic(address.topic)).map(plain))
    }
  }
  await close()
  return all
}

interface Kills {
  readonly events: number
  /** How long the first process may copy, and how much longer each next one. */
  readonly firstMs: number
  readonly factor: number
}

/** Moves into `to` by processes that are killed; answers what was there before. */
async function moveByMany(home: string, to: string, { events, firstMs, factor }: Kills): Promise<readonly object[]> {
  const places = [join(home, "from"), to, join(home, "work")] as const
  const chance = createSimulatedChance("kills")
  const source = await openSmallEngine(places[0])
  await fillHub(source, "killed", events)
  await source.close()
  let kills = 0
  let last = "killed"
  // Longer and longer, so that it comes to every stage of the move, and to the end.
  for (; last === "killed" && kills < 30; kills++) {
    last = await moveAndKill(places, chance.between(20, firstMs * factor ** kills))
  }
  expect(last).toBe("same")
  expect(kills).toBeGreaterThan(2)
  const before = await eventsIn(await openSmallEngine(places[0]))
  expect(before.length).toBeGreaterThan(events * 0.7)
  return before
}

let home: string

beforeEach(() => {
  home = temporary()
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

test("a move that is killed again and again comes to its end, and doubles nothing", async () => {
  const to = join(home, "to")
  const before = await moveByMany(home, to, { events: 5_000, firstMs: 100, factor: 1.7 })
  expect(await eventsIn(await openSmallEngine(to))).toEqual(before)
}, 120_000)

test.skipIf(natsAvailable() === undefined)(
  "so does one to NATS (skipped where there is no nats-server)",
  async () => {
    const nats = await startNats()
    try {
      const before = await moveByMany(home, nats.url, { events: 4_000, firstMs: 60, factor: 2.5 })
      const after = await eventsIn(await openServers(nats.url, "killed", join(home, "nats")))
      const text = (event: object) => JSON.stringify(event)
      expect(after.map(text).sort()).toEqual(before.map(text).sort())
    } finally {
      await nats.stop()
    }
  },
  180_000,
)
