import { afterEach, describe, expect, test, vi } from "vitest"
import { OverloadError } from "../../../core/errors.ts"
import type { EventLog } from "../../../core/log.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { event } from "../../conformance/log-fixture.ts"
import { silentLog } from "../log.fixture.ts"
import { createNames } from "../names.ts"
import { auditPartition } from "./audit.ts"
import { type OpenLog, openLog } from "./log-harness.fixture.ts"

vi.setConfig({ testTimeout: 60_000 })

const topics = ["orders", "users", "parcels"].map((topic) => ({ tenant: "acme", topic }))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const writers = 6
const outstanding = 8

/** Publishes until it is stopped, several calls at once on each topic; remembers what was acknowledged. */
function load(log: EventLog) {
  const acknowledged = new Set<string>()
  let refused = 0
  let stopped = false
  const append = async (writer: number, i: number) => {
    const address = topics[writer % topics.length]!
    try {
      await log.append(address, [event(`${writer}-${i}`)], { dedupeWindowMs: 60_000 })
      acknowledged.add(`${address.topic} ${writer}-${i}`)
    } catch (error) {
      expect(error).toBeInstanceOf(OverloadError)
      refused++
      await pause(20)
    }
  }
  const write = async (writer: number) => {
    const open = new Set<Promise<void>>()
    for (let i = 0; !stopped; i++) {
      const one: Promise<void> = append(writer, i).finally(() => open.delete(one))
      open.add(one)
      if (open.size >= outstanding) await Promise.race(open)
    }
    await Promise.all(open)
  }
  const over = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  return {
    acknowledged,
    get refused() {
      return refused
    },
    async stop() {
      stopped = true
      await over
    },
  }
}

/** Follows the whole log. */
function follow(log: EventLog) {
  const stop = new AbortController()
  const seen: string[] = []
  const over = (async () => {
    for await (const { events } of log.read({ follow: stop.signal })) {
      for (const { address, event: one } of events) seen.push(`${address.topic} ${one.id}`)
    }
  })()
  return {
    seen,
    async stop() {
      stop.abort()
      await over
    },
  }
}

async function until(what: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  for (const end = Date.now() + ms; !(await what()); ) {
    if (Date.now() > end) throw new Error("it has not come to pass")
    await pause(20)
  }
}

async function everything(log: EventLog): Promise<readonly string[]> {
  const all: string[] = []
  for await (const { events } of log.read({})) {
    for (const { address, event: one } of events) all.push(`${address.topic} ${one.id}`)
  }
  return all
}

/** What holds after any fault. */
async function check(opened: OpenLog, prefix: string, loaded: ReturnType<typeof load>, seen: readonly string[]) {
  const stored = await everything(opened.log)
  expect(new Set(stored).size, "nothing is stored twice").toBe(stored.length)
  expect(seen, "the reader saw each once, in order").toEqual(stored)
  const there = new Set(stored)
  const lost = [...loaded.acknowledged].filter((name) => !there.has(name))
  expect(lost, "all that was acknowledged is there").toEqual([])
  for (let writer = 0; writer < writers; writer++) {
    const own = stored
      .filter((name) => loaded.acknowledged.has(name) && name.includes(` ${writer}-`))
      .map((name) => Number(name.split("-")[1]))
    expect(own, "in the order of calls").toEqual(own.toSorted((x, y) => x - y))
  }
  const report = await auditPartition({
    nats: opened.nats,
    names: createNames(prefix),
    partition: 0,
    clock: systemClock,
    log: silentLog,
    progress() {},
    stop: new AbortController().signal,
  })
  expect(report).toMatchObject({ complete: true, messages: stored.length, findings: [] })
}

describe.skipIf(natsAvailable() === undefined)("faults, on real nats-servers", () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  const begin = async (options: Parameters<typeof startNats>[0], prefix: string) => {
    const nats = await startNats(options)
    closing.push(() => nats.stop())
    const opened = await openLog(nats, { prefix })
    closing.push(() => opened.close())
    return { nats, opened, loaded: load(opened.log), reader: follow(opened.log) }
  }
  const end = async (begun: Awaited<ReturnType<typeof begin>>, prefix: string) => {
    const { opened, loaded, reader } = begun
    const before = loaded.acknowledged.size
    await until(() => loaded.acknowledged.size > before + 200)
    await loaded.stop()
    const stored = await everything(opened.log)
    await until(() => reader.seen.length >= stored.length)
    await reader.stop()
    await check(opened, prefix, loaded, reader.seen)
  }

  test("a server that is killed and started again under load", async () => {
    const begun = await begin({ syncAlways: true }, "kill")
    const server = begun.nats.servers[0]!
    for (let round = 0; round < 2; round++) {
      const before = begun.loaded.acknowledged.size
      await until(() => begun.loaded.acknowledged.size > before + 300)
      await server.kill("SIGKILL")
      await until(() => begun.loaded.refused > 0)
      await server.start()
    }
    await end(begun, "kill")
  })

  test("a server that hangs for a while: publishing is refused, and goes on afterwards", async () => {
    const begun = await begin({}, "hang")
    const server = begun.nats.servers[0]!
    await until(() => begun.loaded.acknowledged.size > 300)
    await server.kill("SIGSTOP")
    await until(() => begun.loaded.refused > 0)
    expect(begun.opened.log.health()).not.toEqual([])
    await server.kill("SIGCONT")
    await end(begun, "hang")
    expect(begun.opened.log.health()).toEqual([])
  })

  test("the leader of three that is killed under load", async () => {
    const begun = await begin({ servers: 3 }, "lead")
    await until(() => begun.loaded.acknowledged.size > 300)
    const leader = await leaderOf(begun.nats, begun.opened)
    await leader.kill("SIGKILL")
    await pause(1_000)
    const before = begun.loaded.acknowledged.size
    await until(() => begun.loaded.acknowledged.size > before + 300)
    await leader.start()
    await end(begun, "lead")
  })

  test("two of three that are gone: nothing is acknowledged until one is back", async () => {
    const begun = await begin({ servers: 3 }, "two")
    await until(() => begun.loaded.acknowledged.size > 100)
    const [first, second] = begun.nats.servers
    await Promise.all([first!.kill("SIGKILL"), second!.kill("SIGKILL")])
    await pause(500)
    const without = begun.loaded.acknowledged.size
    await pause(4_000)
    expect(begun.loaded.acknowledged.size).toBe(without)
    await Promise.all([first!.start(), second!.start()])
    await end(begun, "two")
  })
})

async function leaderOf(nats: Nats, { nats: connection }: OpenLog) {
  const info = (await connection.request("$JS.API.STREAM.INFO.LEAD_LOG_0", "")).json<{ cluster: { leader: string } }>()
  return nats.servers.find(({ name }) => name === info.cluster.leader)!
}
