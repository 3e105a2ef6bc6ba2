import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { testHubs } from "./hubs.fixture.ts"
import { type RestartableHub, until } from "./restart.fixture.ts"
import { natsAvailable } from "./testing/nats.ts"

const { directory, nats, start } = testHubs("schedules")

interface Run {
  readonly id: string
  readonly source: string
  readonly time: string
}

async function runsOf(hub: RestartableHub, topic: string): Promise<readonly Run[]> {
  const { body } = await hub.call("GET", `/v1/topics/${topic}/events?limit=1000`)
  // Before its first run the topic is not there.
  return Array.isArray(body) ? body : []
}

/** Each second from the first one to the last one, once. */
function expectEachSecond(runs: readonly Run[]): void {
  const times = runs.map(({ time }) => Date.parse(time))
  expect(times).toEqual(times.map((_, i) => times[0]! + i * 1_000))
  expect(new Set(runs.map(({ id }) => id)).size).toBe(runs.length)
}

const ticking = { topic: "ticks", event: { type: "tick" }, cron: "* * * * * *", missed: "all" }

describe("on the embedded engine", () => {
  test("a schedule publishes each run once, through a restart and though nothing is recognised as a repeat", async () => {
    const data = directory()
    const first = await start(data)
    await first.call("POST", "/v1/topics", { id: "ticks", dedupeWindow: 0 })
    await first.call("POST", "/v1/schedules", { id: "clock", ...ticking })
    await until(async () => (await runsOf(first, "ticks")).length >= 2)
    await first.stop()
    const second = await start(data)
    const before = (await runsOf(second, "ticks")).length
    await until(async () => (await runsOf(second, "ticks")).length >= before + 3)
    const runs = await runsOf(second, "ticks")
    expectEachSecond(runs)
    expect(runs[0]!.source).toBe("/schedules/clock")
    const { body } = await second.call("GET", "/v1/schedules/clock")
    expect(body.status).toMatchObject({ state: "active", lastRunAt: expect.any(String), nextRunAt: expect.any(String) })
  })

  test("one that is deleted and made anew repeats no id", async () => {
    const hub = await start(directory())
    const made = { id: "clock", ...ticking, cron: "*/1 * * * * *" }
    for (let count = 1; count <= 3; count++) {
      const before = (await hub.call("POST", "/v1/schedules", made)).status
      expect(before).toBe(201)
      await until(async () => new Set((await runsOf(hub, "ticks")).map(incarnationOf)).size === count)
      expect((await hub.call("DELETE", "/v1/schedules/clock")).status).toBe(204)
    }
    const ids = (await runsOf(hub, "ticks")).map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })
})

function incarnationOf({ id }: Run): string {
  return id.split(".")[1]!
}

describe.skipIf(natsAvailable() === undefined)("on NATS (skipped where there is no nats-server)", () => {
  test("two processes publish each run once, also when the one that has the schedules is stopped", async () => {
    const url = await nats()
    const first = directory()
    const one = await start(first, { engine: url })
    const other = directory()
    copyFileSync(join(first, "admin.key"), join(other, "admin.key"))
    const two = await start(other, { engine: url })
    await one.call("POST", "/v1/schedules", { id: "clock", ...ticking })
    await two.call("POST", "/v1/schedules", { id: "slower", ...ticking, topic: "slower", cron: "*/2 * * * * *" })
    await until(async () => (await runsOf(two, "ticks")).length >= 3)
    await one.stop()
    const before = (await runsOf(two, "ticks")).length
    await until(async () => (await runsOf(two, "ticks")).length >= before + 3)
    expectEachSecond(await runsOf(two, "ticks"))
    const slower = (await runsOf(two, "slower")).map(({ time }) => Date.parse(time))
    expect(slower).toEqual(slower.map((_, i) => slower[0]! + i * 2_000))
  }, 120_000)
})
