import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { expect, test } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import type { DeadLetter, Delivery } from "../../core/delivery.ts"
import type { Engine } from "../../core/engine.ts"
import type { StoredEvent } from "../../core/log.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { dataOf, deliveriesOf, reader, type Said, segmentBytes } from "./crash.fixture.ts"
import { openEmbeddedDirectory } from "./engine.ts"

const kills = 10
const fixture = new URL("./crash.fixture.ts", import.meta.url).href

/** What processes have said that died since; the truth that the directory is held against. */
class Ledger {
  readonly stored = new Map<string, string>()
  /** Deliveries that some process has begun to finish, and those that it has finished. */
  readonly ending = new Set<string>()
  readonly done = new Set<string>()
  readonly buried = new Set<string>()
  /** Events that some process has begun to drop, and those that it has dropped. */
  readonly dropping = new Set<string>()
  readonly dropped = new Set<string>()
  readonly wrong: string[] = []
  routed = ""

  note(said: Said): void {
    if (said.kind === "stored") for (const [id, cursor] of said.events) this.stored.set(id, cursor)
    else if (said.kind === "routed") this.routed = said.cursor
    else if (said.kind === "wrong") this.wrong.push(said.what)
    else if ("ids" in said) for (const id of said.ids) this[said.kind].add(id)
    else this[said.kind].add(said.id)
  }
}

/** Runs a process under load, kills it after so many lines; resolves when it is dead and all it said is noted. */
async function runAndKill(directory: string, name: string, lines: number, ledger: Ledger): Promise<void> {
  const script = `
    import { runLoad } from ${JSON.stringify(fixture)}
    await runLoad(...process.argv.slice(1))`
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, directory, name])
  let errors = ""
  child.stderr.on("data", (data) => {
    errors += data
  })
  let left = lines
  createInterface(child.stdout).on("line", (line) => {
    if (left-- === 0) child.kill("SIGKILL")
    // The last line may be a part of one.
    if (line.endsWith("}")) ledger.note(JSON.parse(line) as Said)
  })
  const signal = await new Promise((resolve) => child.on("close", (_code, signal) => resolve(signal)))
  expect(signal, errors).toBe("SIGKILL")
}

async function allStored(engine: Engine): Promise<readonly StoredEvent[]> {
  const stored: StoredEvent[] = []
  for await (const { events } of engine.log.read({})) stored.push(...events)
  return stored
}

async function allDead(engine: Engine): Promise<ReadonlyMap<string, DeadLetter>> {
  const letters = new Map<string, DeadLetter>()
  for (const tenant of ["acme", "globex"]) {
    for (const letter of await engine.queue.deadLetters({ tenant, limit: 1_000_000 })) letters.set(letter.id, letter)
  }
  return letters
}

/** An acknowledged event is in the log, once and as it was. */
function checkEvents(stored: readonly StoredEvent[], ledger: Ledger): void {
  const cursors = new Map(stored.map((one) => [one.event.id, one.cursor as string]))
  expect(cursors.size, "an event is stored twice").toBe(stored.length)
  for (const [id, cursor] of ledger.stored) {
    if (ledger.dropped.has(id)) expect(cursors.has(id), `event ${id} was dropped`).toBe(false)
    else if (!ledger.dropping.has(id) || cursors.has(id)) expect(cursors.get(id), `event ${id}`).toBe(cursor)
  }
  for (const { event } of stored) {
    expect(Buffer.compare(event.data!, dataOf(event.id)), `the data of ${event.id}`).toBe(0)
  }
}

/** Of each event that was routed and each trigger that it matched there is one delivery: open, dead or done. */
async function checkDeliveries(engine: Engine, stored: readonly StoredEvent[], ledger: Ledger): Promise<void> {
  const { log, queue } = engine
  const dead = await allDead(engine)
  const position = await queue.position(reader)
  if (ledger.routed !== "") expect(log.compare(position!, ledger.routed as Cursor)).toBeGreaterThanOrEqual(0)
  const open = new Map<string, number>()
  const checkOne = async (delivery: Delivery, routed: boolean) => {
    const { id, tenant, destination } = delivery
    const isOpen = (await queue.open(delivery)) !== undefined
    if (isOpen) open.set(`${tenant}/${destination}`, (open.get(`${tenant}/${destination}`) ?? 0) + 1)
    if (!routed) return expect([isOpen, dead.has(id)], `${id} is beyond the position`).toEqual([false, false])
    if (ledger.done.has(id)) return expect([isOpen, dead.has(id)], `${id} came back`).toEqual([false, false])
    if (ledger.buried.has(id)) return expect([isOpen, dead.has(id)], `${id} was dead`).toEqual([false, true])
    const states = [isOpen, dead.has(id)].filter(Boolean).length
    expect(states, `${id} is both open and dead`).toBeLessThan(2)
    if (states === 0) expect(ledger.ending.has(id), `${id} is lost`).toBe(true)
  }
  for (const one of stored) {
    const routed = position !== undefined && log.compare(one.cursor, position) <= 0
    for (const delivery of deliveriesOf(one)) await checkOne(delivery, routed)
  }
  for (const [lane, count] of open) expect(await queue.depth(lane), lane).toBe(count)
}

test(`${kills} processes, each killed under load, lose nothing they acknowledged`, { timeout: 120_000 }, async () => {
  const seed = String(systemClock.now())
  const chance = createSimulatedChance(seed)
  const directory = mkdtempSync(join(tmpdir(), "redcar-crash-"))
  const ledger = new Ledger()
  try {
    for (let kill = 0; kill < kills; kill++) {
      await runAndKill(directory, `p${kill}`, chance.between(0, 800), ledger)
      expect(ledger.wrong, `seed ${seed}`).toEqual([])
      const engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes, reserveBytes: 0 })
      try {
        const stored = await allStored(engine)
        checkEvents(stored, ledger)
        await checkDeliveries(engine, stored, ledger)
      } finally {
        await engine.close()
      }
    }
    expect(ledger.stored.size).toBeGreaterThan(1_000)
    expect(ledger.done.size).toBeGreaterThan(500)
    expect(ledger.buried.size).toBeGreaterThan(5)
    expect(ledger.dropped.size).toBeGreaterThan(100)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
