import { execFileSync, spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import { StartRefusedError, UnavailableError } from "../../core/errors.ts"
import { Event } from "../../core/event.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { DirectoryLockedError, lockDirectory } from "../parts/lock.ts"
import { openLmdbStore } from "../parts/store-lmdb.ts"
import { openEmbeddedDirectory } from "./engine.ts"

const orders = { tenant: "acme", topic: "orders" }
let directory: string
let lines: string[]
let opened: Engine[]
let template: { readonly from: string; readonly seen: object } | undefined

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "redcar-state-"))
  lines = []
  opened = []
})

afterAll(() => {
  if (template !== undefined) rmSync(template.from, { recursive: true })
})

afterEach(async () => {
  for (const engine of opened) await engine.close()
  rmSync(directory, { recursive: true, force: true })
})

async function open(options: { readonly rebuild?: boolean; readonly clock?: Clock } = {}): Promise<Engine> {
  const engine = await openEmbeddedDirectory(directory, {
    clock: systemClock,
    segmentBytes: 1 << 20,
    reserveBytes: 0,
    onNotice: (line) => lines.push(line),
    ...options,
  })
  opened.push(engine)
  return engine
}

async function close(): Promise<void> {
  await opened.pop()!.close()
}

const event = (id: string) =>
  Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created" }, Buffer.from(`"${id}"`), "json")

/** Events, resources and a reader's position: made once, and copied. */
async function fill(): Promise<object> {
  template ??= await fillAnew()
  cpSync(template.from, directory, { recursive: true })
  return template.seen
}

async function fillAnew(): Promise<{ readonly from: string; readonly seen: object }> {
  const engine = await open()
  for (let i = 0; i < 40; i++) {
    await engine.log.append(
      orders,
      Array.from({ length: 50 }, (_, n) => event(`${i}.${n}`)),
      { dedupeWindowMs: 60_000 },
    )
    await engine.catalog.put(`topic/acme/t${i}`, { n: i })
  }
  await engine.queue.enqueue([], { reader: "router", cursor: await engine.log.head() })
  const seen = await look(engine)
  await close()
  const from = mkdtempSync(join(tmpdir(), "redcar-state-"))
  cpSync(directory, from, { recursive: true })
  return { from, seen }
}

async function look({ log, catalog, queue }: Engine): Promise<object> {
  const events: string[] = []
  for await (const batch of log.read({}))
    for (const { cursor, event } of batch.events) events.push(`${cursor} ${event.id}`)
  return {
    events,
    resources: await catalog.list("topic/", { limit: 1_000 }),
    position: await queue.position("router"),
    stats: await log.stats(orders),
  }
}

const data = () => join(directory, "state", "data.mdb")

describe("a state that is not as it was written is made anew from the log", () => {
  test.each<[string, () => void]>([
    ["deleted", () => rmSync(join(directory, "state"), { recursive: true })],
    ["emptied", () => rmSync(data())],
    ["cut to nothing", () => truncateSync(data(), 0)],
    ["cut in the middle", () => truncateSync(data(), statSync(data()).size >> 1)],
    ["full of zeros", () => writeFileSync(data(), Buffer.alloc(statSync(data()).size))],
    ["no database", () => writeFileSync(data(), "hello")],
    ["left by a start that died in it", () => writeFileSync(join(directory, "state", "opening"), "")],
    ["known to be damaged", () => writeFileSync(join(directory, "state", "damaged"), "")],
  ])("%s", async (_, damage) => {
    const before = await fill()
    damage()
    const engine = await open()
    expect(await look(engine)).toEqual(before)
    expect(engine.health()).toEqual([])
  })

  test.each<[string, () => void]>([
    ["stopped", () => {}],
    // Without its seal the state is that of a hub that was killed.
    ["killed", () => rmSync(join(directory, "state", "seal"))],
  ])("with a page of it gone, changed, exchanged or old; %s before", { timeout: 120_000 }, async (_, kill) => {
    const before = await fill()
    const whole = readFileSync(data())
    await open()
    await opened[0]!.catalog.put("topic/acme/t3", { n: "changed" })
    await close()
    kill()
    const current = readFileSync(data())
    const chance = createSimulatedChance("pages")
    const pages = current.length / 4096
    const trials = Array.from({ length: 8 }, (_, trial) => {
      const damaged = Buffer.from(current)
      const [at, other] = [chance.between(2, pages - 1) * 4096, chance.between(2, pages - 1) * 4096]
      const kind = (["zero", "bit", "exchange", "old"] as const)[trial % 4]!
      if (kind === "zero") damaged.fill(0, at, at + 4096)
      else if (kind === "bit") damaged[at + chance.between(0, 4095)]! ^= 1 << chance.between(0, 7)
      else if (kind === "exchange") {
        current.copy(damaged, at, other, other + 4096)
        current.copy(damaged, other, at, at + 4096)
      } else if (at < whole.length) whole.copy(damaged, at, at, at + 4096)
      const here = mkdtempSync(join(tmpdir(), "redcar-state-"))
      execFileSync("cp", ["-a", `${directory}/.`, here])
      writeFileSync(join(here, "state", "data.mdb"), damaged)
      return { here, what: `${kind} at ${at} and ${other}` }
    })
    const { resources } = before as { readonly resources: readonly { readonly key: string }[] }
    const changed = resources.map((item) =>
      item.key === "topic/acme/t3" ? { ...item, value: { n: "changed" }, revision: 41 } : item,
    )
    const found = lookElsewhere(trials.map(({ here }) => here))
    for (const [trial, { here, what }] of trials.entries()) {
      expect(found[trial], what).toEqual({ ...before, resources: changed })
      rmSync(here, { recursive: true, force: true })
    }
  })

  test("a stop seals it, so that the next start has to read no row; a change of any byte is seen", async () => {
    const before = await fill()
    expect(readdirSync(join(directory, "state")).sort()).toEqual(["data.mdb", "lock.mdb", "seal"])
    await open()
    expect(readdirSync(join(directory, "state")).sort()).toEqual(["data.mdb", "lock.mdb"])
    await close()
    expect(lines).toEqual([])
    const chance = createSimulatedChance("bytes")
    for (let trial = 0; trial < 5; trial++) {
      const damaged = readFileSync(data())
      damaged[chance.between(8192, damaged.length - 1)]! ^= 1
      writeFileSync(data(), damaged)
      const engine = await open()
      expect(await look(engine)).toEqual(before)
      await close()
      expect(lines.splice(0)).toEqual([
        "state/ cannot be used (its bytes are not as they were); it is made anew from the log",
      ])
    }
  })

  test("with LMDB's list of free pages damaged, of a hub that was killed", { timeout: 60_000 }, async () => {
    await fill()
    rmSync(join(directory, "state", "seal"))
    const whole = readFileSync(data())
    for (const page of freeListPages(whole)) {
      const here = mkdtempSync(join(tmpdir(), "redcar-state-"))
      execFileSync("cp", ["-a", `${directory}/.`, here])
      const damaged = Buffer.from(whole)
      whole.copy(damaged, page * 4096 + 24, 8 * 4096 + 24, 9 * 4096)
      writeFileSync(join(here, "state", "data.mdb"), damaged)
      expect(lookElsewhere([here])).toMatchObject([{ resources: expect.any(Array) }])
      rmSync(here, { recursive: true, force: true })
    }
  })

  test("and on purpose", async () => {
    const before = await fill()
    const engine = await open({ rebuild: true })
    expect(await look(engine)).toEqual(before)
    expect(lines).toEqual([])
    expect(readdirSync(directory).sort()).toEqual(["lock", "log", "state"])
    // The state knew where the log ends: no places are left out.
    await engine.log.append({ tenant: "acme", topic: "orders" }, [event("next")])
    expect(readdirSync(join(directory, "log")).filter((name) => name.endsWith(".segment"))).toHaveLength(1)
  })
})

const freeRootAt = 88

/** The roots of the trees of free pages that LMDB's two first pages name. */
function freeListPages(file: Buffer): readonly number[] {
  const roots = [0, 4096].map((at) => Number(file.readBigUInt64LE(at + freeRootAt)))
  return [...new Set(roots)].filter((root) => root > 1 && root < file.length / 4096)
}

/** In a process of its own, which the damage may end: then another one finds out why, and goes on. */
function lookElsewhere(heres: readonly string[]): readonly object[] {
  const script = `
    const { openEmbeddedDirectory } = await import(${JSON.stringify(new URL("./engine.ts", import.meta.url).href)})
    const { systemClock } = await import(${JSON.stringify(new URL("../../telemetry/clock.ts", import.meta.url).href)})
    ${look.toString()}
    const orders = ${JSON.stringify(orders)}
    for (const here of process.argv.slice(1)) {
      const engine = await openEmbeddedDirectory(here, { clock: systemClock, segmentBytes: 1 << 20, reserveBytes: 0 })
      const seen = await look(engine)
      await engine.catalog.put("other/more", "x".repeat(100_000))
      await engine.close()
      console.log(JSON.stringify(seen))
    }`
  const found: object[] = []
  for (let deaths = 0; found.length < heres.length; ) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ["--input-type=module", "-e", script, ...heres.slice(found.length)],
      { encoding: "utf8", maxBuffer: 1 << 28 },
    )
    const lines = stdout.split("\n").slice(0, -1)
    found.push(...lines.map((line) => JSON.parse(line) as object))
    deaths = lines.length > 0 ? 1 : deaths + 1
    if (status !== 0 && deaths > 1) throw new Error(stderr)
  }
  return found
}

describe("a data directory", () => {
  test("is for its owner alone, whoever could read it before", async () => {
    await fill()
    for (const path of [directory, join(directory, "log"), join(directory, "state")]) chmodSync(path, 0o755)
    chmodSync(data(), 0o644)
    await open()
    const modes = (path: string): number[] => {
      const found = statSync(path)
      const inside = found.isDirectory() ? readdirSync(path).flatMap((name) => modes(join(path, name))) : []
      return [found.mode & 0o077, ...inside]
    }
    expect(modes(directory).every((mode) => mode === 0)).toBe(true)
  })

  test("belongs to one process, which the lock's file names", async () => {
    await open()
    const refused = await openEmbeddedDirectory(directory, { clock: systemClock }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(DirectoryLockedError)
    expect((refused as Error).message).toContain(`process ${process.pid} on `)
    await close()
    await (await lockDirectory(directory)).release()
  })

  test.skipIf(spawnSync("unshare", ["-rn", "true"]).status !== 0)(
    "is held against a process of another network namespace (skipped where none can be made)",
    async () => {
      const lock = await lockDirectory(directory)
      const script = `
        const { lockDirectory } = await import(${JSON.stringify(new URL("../parts/lock.ts", import.meta.url).href)})
        await lockDirectory(${JSON.stringify(directory)}).then(() => console.log("taken"), (error) => console.log(error.name))`
      const elsewhere = () =>
        execFileSync("unshare", ["-rn", process.execPath, "--input-type=module", "-e", script], {
          encoding: "utf8",
        }).trim()
      expect(elsewhere()).toBe("DirectoryLockedError")
      await lock.release()
      expect(elsewhere()).toBe("taken")
    },
  )

  test.each<[string, () => void]>([
    ["a state that is a file", () => writeFileSync(join(directory, "state"), "")],
    ["a lock that is a directory", () => mkdirSync(join(directory, "lock"))],
    [
      "a segment that is a directory",
      () => mkdirSync(join(directory, "log", "00000000008.segment"), { recursive: true }),
    ],
  ])("with %s is refused in a line, with what to do", async (_, make) => {
    make()
    const refused = await openEmbeddedDirectory(directory, { clock: systemClock }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(StartRefusedError)
    expect((refused as StartRefusedError).next).toEqual([expect.stringContaining("--data <directory>")])
  })

  test("is held though somebody removed the lock's file", async () => {
    await open()
    rmSync(join(directory, "lock"))
    const refused = await openEmbeddedDirectory(directory, { clock: systemClock }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(DirectoryLockedError)
    await close()
    await open()
  })

  test("whose log names itself wrongly is held all the same", async () => {
    await fill()
    writeFileSync(join(directory, "log", "identity"), "{}")
    await open()
    rmSync(join(directory, "lock"))
    const refused = await openEmbeddedDirectory(directory, { clock: systemClock }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(DirectoryLockedError)
  })

  test("of which only the admin key is left says that a hub has been there", async () => {
    writeFileSync(join(directory, "admin.key"), "key")
    const engine = await open()
    expect(engine.health()).toEqual([expect.stringMatching(/^nothing is left of what was here: .*bring back log\//)])
    expect(lines).toEqual(engine.health())
    await close()
    expect((await open()).health()).toEqual([])
  })

  test("whose state goes while it is open closes with a line, and is made anew", async () => {
    const before = await fill()
    await open()
    rmSync(join(directory, "state"), { recursive: true })
    await close()
    expect(lines).toEqual([expect.stringMatching(/^state\/ could not be sealed \(ENOENT.*; the next start/)])
    expect(await look(await open())).toEqual(before)
  })

  const takes: readonly [string, (log: string) => void][] = [
    ["removed", (log) => rmSync(log, { recursive: true })],
    ["taken away", (log) => renameSync(log, `${log}.away`)],
    [
      "taken away and replaced by its copy",
      (log) => {
        renameSync(log, `${log}.away`)
        cpSync(`${log}.away`, log, { recursive: true })
      },
    ],
    [
      "taken away and replaced by a file",
      (log) => {
        renameSync(log, `${log}.away`)
        writeFileSync(log, "")
      },
    ],
  ]

  test.each(takes)("whose log is %s while it is open takes no more, and says why", async (_, take) => {
    const clock = createSimulatedClock(Date.now())
    const engine = await open({ clock })
    await engine.log.append(orders, [event("first")])
    expect(engine.outage()).toBeUndefined()
    take(join(directory, "log"))
    await clock.advance(2_000)
    const append = () => engine.log.append(orders, [event("second")])
    await vi.waitFor(() =>
      expect(engine.outage()).toMatch(/^the files of log\/ were removed or replaced while the hub ran/),
    )
    await expect(append()).rejects.toThrow(UnavailableError)
    expect(lines).toEqual([engine.outage()])
  })

  test.each(takes)("whose log is %s acknowledges nothing, though nobody has looked yet", async (_, take) => {
    const engine = await open({ clock: createSimulatedClock(Date.now()) })
    await engine.log.append(orders, [event("first")])
    take(join(directory, "log"))
    await expect(engine.log.append(orders, [event("second")])).rejects.toThrow(UnavailableError)
    await expect(engine.catalog.put("topic/acme/orders", {})).rejects.toThrow(UnavailableError)
  })

  test.each<[string, (log: string) => void]>([
    ["a copy of it", (log) => cpSync(`${log}.copy`, log, { recursive: true })],
    ["itself", (log) => renameSync(`${log}.away`, log)],
  ])("whose log was away and is %s again takes no more before the next start", async (_, bringBack) => {
    const clock = createSimulatedClock(Date.now())
    const engine = await open({ clock })
    await engine.log.append(orders, [event("first")])
    const log = join(directory, "log")
    cpSync(log, `${log}.copy`, { recursive: true })
    renameSync(log, `${log}.away`)
    await expect(engine.log.append(orders, [event("second")])).rejects.toThrow(UnavailableError)
    await vi.waitFor(() => expect(engine.outage()).toBeDefined())
    bringBack(log)
    const looked = vi.spyOn(clock, "after")
    await clock.advance(2_000)
    await vi.waitFor(() => expect(looked).toHaveBeenCalledWith(2_000, expect.any(Function)))
    expect(engine.outage()).toMatch(/start it again$/)
    await expect(engine.log.append(orders, [event("third")])).rejects.toThrow(engine.outage())
    await close()
    const { outage, log: after } = await open()
    expect(outage()).toBeUndefined()
    expect((await after.append(orders, [event("fourth")]))[0]?.duplicate).toBe(false)
  })

  test("in a folder that takes no other is refused at once", async () => {
    const refused = await openEmbeddedDirectory("/proc/nohub/data", { clock: systemClock }).catch(
      (each: unknown) => each,
    )
    expect(refused).toBeInstanceOf(StartRefusedError)
  })

  test.skipIf(spawnSync("unshare", ["-rm", "true"]).status !== 0)(
    "on a disk without room is refused before the tables' mapped files kill the process (skipped where none can be made)",
    () => {
      const script = `
        const { openEmbeddedDirectory } = await import(${JSON.stringify(new URL("./engine.ts", import.meta.url).href)})
        const { systemClock } = await import(${JSON.stringify(new URL("../../telemetry/clock.ts", import.meta.url).href)})
        const options = { clock: systemClock, segmentBytes: 1 << 20, reserveBytes: 0 }
        await openEmbeddedDirectory(${JSON.stringify(join(directory, "hub"))}, options).then(
          ({ catalog }) => catalog.put("topic/acme/orders", {}),
          ({ name, message }) => console.log(name, message),
        )
        process.kill(process.pid, "SIGKILL")`
      const start = `"${process.execPath}" "${join(directory, "start.mjs")}"`
      const full = `mount -t tmpfs -o size=8m none "${directory}" && cat > "${directory}/start.mjs" && ${start}
        dd if=/dev/zero of="${directory}/more" bs=4096; ${start}; ${start}`
      const { stdout } = spawnSync("unshare", ["-rm", "sh", "-c", full], { input: script, encoding: "utf8" })
      const refused =
        /^DirectoryRefusedError .* cannot be used: state\/ takes \d+ bytes of room to be opened, and 0 are free$/
      expect(stdout.trim().split("\n")).toEqual([expect.stringMatching(refused), expect.stringMatching(refused)])
    },
    30_000,
  )

  test("whose state a start began to make anew, and did not end, makes it anew", async () => {
    const before = await fill()
    const store = openLmdbStore(join(directory, "state"))
    await store.write([{ table: "index", key: "journal", value: undefined }])
    await store.close()
    rmSync(join(directory, "state", "seal"))
    const engine = await open()
    expect(lines).toEqual(["state/ cannot be used (it was never finished); it is made anew from the log"])
    expect(await look(engine)).toEqual(before)
    expect(engine.health()).toEqual([])
  })

  test("with files that are not the hub's starts, leaves them alone and names them", async () => {
    const before = await fill()
    writeFileSync(join(directory, "log", "foo.segment"), "not one of ours")
    writeFileSync(join(directory, "log", "notes.txt"), "hello")
    const engine = await open()
    expect(await look(engine)).toEqual(before)
    expect(engine.health()).toEqual([
      "log/foo.segment is no file of the hub's; it is left alone",
      "log/notes.txt is no file of the hub's; it is left alone",
    ])
    expect(readFileSync(join(directory, "log", "notes.txt"), "utf8")).toBe("hello")
  })

  test("copied with a log older than its state gives new events new places, and says what is not there", async () => {
    await fill()
    const copy = mkdtempSync(join(tmpdir(), "redcar-copy-"))
    execFileSync("cp", ["-a", join(directory, "log"), copy])
    const engine = await open()
    const later = await engine.log.append(orders, [event("later")])
    await engine.queue.enqueue([], { reader: "router", cursor: later[0]!.cursor })
    await close()
    rmSync(join(directory, "log"), { recursive: true })
    execFileSync("cp", ["-a", join(copy, "log"), directory])
    rmSync(copy, { recursive: true })
    const again = await open()
    const [added] = await again.log.append(orders, [event("new")])
    expect(added!.cursor > later[0]!.cursor).toBe(true)
    expect(again.health()).toEqual([
      expect.stringMatching(/^damaged: log\/[0-9a-z]{11}\.segment, bytes \d+ to \d+ \(cursors /),
    ])
    const [, from, to] = /cursors (\w+) to (\w+)/.exec(again.health()[0]!)!
    expect(from! <= later[0]!.cursor && later[0]!.cursor < to!).toBe(true)
  })
})

describe("segments", () => {
  const segmentNames = () =>
    readdirSync(join(directory, "log"))
      .filter((name) => name.endsWith(".segment"))
      .sort()
  const bulky = (id: string) =>
    Event.of({ specversion: "1.0", id, source: "/s", type: "t" }, Buffer.alloc(100_000), "binary")

  async function fillSegments(): Promise<string[]> {
    const engine = await open()
    for (let i = 0; i < 45; i++) await engine.log.append(orders, [bulky(`e${i}`)])
    await close()
    return segmentNames()
  }

  async function ids(engine: Engine): Promise<string[]> {
    return ((await look(engine)) as { events: string[] }).events.map((line) => line.split(" ")[1]!)
  }

  const all = Array.from({ length: 45 }, (_, i) => `e${i}`)
  const named = (engine: Engine, kind: string, name: string) =>
    expect(engine.health()).toContainEqual(
      expect.stringMatching(new RegExp(`^${kind}: log/${name}.*\\(cursors .* to .*\\)`)),
    )

  test("one that is gone is named, and the others are read", async () => {
    const names = await fillSegments()
    rmSync(join(directory, "log", names[1]!))
    const engine = await open()
    named(engine, "missing", names[1]!)
    const left = await ids(engine)
    expect(left.length).toBeLessThan(45)
    expect(left).toEqual(all.filter((id) => left.includes(id)))
    expect(left.slice(-1)).toEqual(["e44"])
  })

  test("one that was cut to nothing is named", async () => {
    const names = await fillSegments()
    truncateSync(join(directory, "log", names[1]!), 0)
    const engine = await open()
    await ids(engine)
    named(engine, "damaged", names[1]!)
  })

  test("what was added behind one hides nothing of the next", async () => {
    const names = await fillSegments()
    writeFileSync(join(directory, "log", names[1]!), "more", { flag: "a" })
    const engine = await open()
    expect(await ids(engine)).toEqual(all)
    expect(engine.health()).toEqual([expect.stringContaining(`log/${names[1]} is longer than it was made`)])
  })

  test("two that were exchanged are read where they belong, and named", async () => {
    const [first, second, third] = (await fillSegments()).map((name) => join(directory, "log", name))
    copyFileSync(second!, `${second}.kept`)
    copyFileSync(third!, second!)
    copyFileSync(`${second}.kept`, third!)
    rmSync(`${second}.kept`)
    const engine = await open()
    expect(await ids(engine)).toEqual(all)
    expect(engine.health()).toHaveLength(2)
    expect(first).toBeDefined()
  })

  test("one of another hub is left alone, and what is not there is named", async () => {
    const names = await fillSegments()
    const mine = directory
    directory = mkdtempSync(join(tmpdir(), "redcar-state-"))
    await fillSegments()
    copyFileSync(join(directory, "log", names[1]!), join(mine, "log", names[1]!))
    rmSync(directory, { recursive: true })
    directory = mine
    const engine = await open()
    expect(engine.health()).toContainEqual(`log/${names[1]} is of another log; it is left alone`)
    named(engine, "missing", names[1]!)
    expect((await ids(engine)).length).toBeLessThan(45)
  })
})
