import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type Delivery, deliveryId, type Verdict } from "../../core/delivery.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import type { Trigger } from "../../core/resources.ts"
import { Records } from "../../deliver/records.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let records: Records

beforeAll(async () => {
  api = await openTestApi()
  const logger = { info: () => {}, warn: () => {}, error: () => {} }
  records = new Records({ log: api.engine.log, clock: systemClock, logger })
  for (const id of ["old", "new"])
    await api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
})
afterAll(() => api.close())

/** An event that the trigger, made anew, owes to `old`. */
async function owed(trigger: string): Promise<Cursor> {
  await api.call("POST", "/v1/triggers", { id: trigger, topic: trigger, destination: "old" })
  const [cursor] = await api.append(trigger, [trigger])
  const stored = (await api.engine.log.get(cursor!))!
  const { incarnation = "" } = (await api.engine.catalog.get<Trigger>(`trigger/default/${trigger}`))!.value
  const id = deliveryId(cursor!, trigger, incarnation)
  const names = { tenant: "default", trigger, incarnation, destination: "old", cursor: cursor! }
  const delivery: Delivery = { ...names, id, fingerprint: fingerprintOf(stored) }
  await api.engine.queue.enqueue([delivery])
  return cursor!
}

async function attempt(cursor: Cursor, destination: string, verdict: Exclude<Verdict, { kind: "dead" }>) {
  const { queue, log } = api.engine
  const [lease] = await queue.lease({ lane: `default/${destination}`, max: 1, leaseMs: 60_000 })
  const isDone = verdict.kind === "done"
  const outcome = isDone
    ? ({ kind: "delivered", detail: "204 No Content" } as const)
    : ({ kind: "failed", detail: "500", permanent: false } as const)
  const made = { number: lease!.attempt, startedAt: Date.now(), durationMs: 1, outcome }
  await records.attempt((await log.get(cursor))!, lease!.delivery, made, verdict)
  await queue.end(lease!, verdict)
}

async function shown(cursor: Cursor) {
  const [delivery] = (await api.call("GET", `/v1/events/${cursor}/deliveries`)).body.items
  const journey = (await api.call("GET", `/v1/events/${cursor}/journey`)).body
  expect(journey.triggers.map((each: { delivery?: object }) => each.delivery)).toEqual([delivery])
  const { state, destination, attempts } = delivery
  return [state, destination, attempts.map((each: { destination: string }) => each.destination)]
}

const cli = async (...args: string[]) => (await runCli([...args, "--url", api.url, "--key", "admin"])).out

test("what stays behind, and was never tried, is found where it is", async () => {
  const cursor = await owed("kept")
  await api.call("PATCH", "/v1/triggers/kept", { destination: "new" })
  expect(await shown(cursor)).toEqual(["due", "old", []])
  expect(await cli("event", "deliveries", cursor)).toMatch(/kept +old +due +0 /)
  await attempt(cursor, "old", { kind: "retry", delayMs: 60_000 })
  expect(await shown(cursor)).toEqual(["parked", "old", ["old"]])
})

test("what moves is told where it is, with where each attempt went", async () => {
  const cursor = await owed("moved")
  await attempt(cursor, "old", { kind: "retry", delayMs: 60_000 })
  await api.call("PATCH", "/v1/triggers/moved", { destination: "new", backlog: "move" })
  expect(await shown(cursor)).toEqual(["due", "new", ["old"]])
  expect(await cli("event", "deliveries", cursor)).toMatch(/moved +new +due +1 .*500 \(old\)/)
  await attempt(cursor, "new", { kind: "done" })
  expect(await shown(cursor)).toEqual(["done", "new", ["old", "new"]])
  expect(await cli("event", "deliveries", cursor)).toMatch(/moved +new +done +2 .*204 No Content\n/)
  const journey = await cli("event", "journey", cursor)
  expect(journey).toContain("moved → new")
  expect(journey).toMatch(/attempt 1 to old at .*\n.*attempt 1 at /)
  await api.call("PATCH", "/v1/triggers/moved", { destination: "old" })
  const { body } = await api.call("POST", `/v1/events/${cursor}/deliveries/moved/resend`)
  expect([body.destination, body.attempts.map((each: { destination: string }) => each.destination)]).toEqual([
    "old",
    ["old", "new"],
  ])
})
