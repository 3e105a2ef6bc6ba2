import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import { deliveryId } from "../../core/delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
const warnings: string[] = []

beforeAll(async () => {
  const log = { info: () => {}, error: () => {}, warn: (_: object, line: string) => void warnings.push(line) }
  api = await openTestApi({ log })
  for (const id of ["old", "new", "spare", "other"]) {
    await api.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
  }
})
afterAll(() => api.close())

/** Makes a trigger that owes so many deliveries to its destination. */
async function owing(id: string, count: number, destination = "old"): Promise<void> {
  const { queue, catalog } = api.engine
  await api.call("POST", "/v1/triggers", { id, topic: "orders", destination })
  const { incarnation = "" } = (await catalog.get<Trigger>(`trigger/default/${id}`))!.value
  const cursors = await api.append(
    "orders",
    Array.from({ length: count }, (_, i) => `${id}-${i}`),
  )
  const names = { tenant: "default", trigger: id, incarnation, destination, fingerprint: 0 }
  await queue.enqueue(cursors.map((cursor) => ({ ...names, cursor, id: deliveryId(cursor, id, incarnation) })))
}

const depths = () => Promise.all(["old", "new"].map((id) => api.engine.queue.depth(`default/${id}`)))
const cli = (...args: string[]) => runCli([...args, "--url", api.url, "--key", "admin"])

test("what is owed stays where it was, unless it is said to move along; then it does", async () => {
  await owing("a", 3)
  expect((await api.call("GET", "/v1/triggers/a")).body.backlog).toBe("keep")
  const changed = await api.call("PATCH", "/v1/triggers/a", { destination: "new" })
  expect([changed.body.backlog, ...(await depths())]).toEqual(["keep", 3, 0])
  const moved = await api.call("PATCH", "/v1/triggers/a", { backlog: "move" })
  expect([moved.body.backlog, ...(await depths())]).toEqual(["move", 0, 3])
  await api.call("PATCH", "/v1/triggers/a", { destination: "old" })
  expect(await depths()).toEqual([3, 0])
  await api.call("PATCH", "/v1/triggers/a?validate_only=true", { destination: "new" })
  expect(await depths()).toEqual([3, 0])
  await api.call("PUT", "/v1/triggers/a", { topic: "orders", destination: "new" })
  expect((await api.call("GET", "/v1/triggers/a")).body.backlog).toBe("keep")
  expect(await depths()).toEqual([3, 0])
  const wrong = await api.call("PATCH", "/v1/triggers/a", { backlog: "drop" })
  expect([wrong.status, wrong.body.errors[0].field]).toEqual([400, "backlog"])
  await api.call("DELETE", "/v1/triggers/a")
})

test("a move that failed half-way is made whole by the same change", async () => {
  await owing("h", 3)
  const { queue } = api.engine
  const [lease] = await queue.lease({ lane: "default/old", max: 1, leaseMs: 60_000 })
  const change = { destination: "new", backlog: "move" }
  await api.call("PATCH", "/v1/triggers/h", change)
  expect(await depths()).toEqual([1, 2])
  // As it is where a move did not come to it.
  await queue.end(lease!, { kind: "release", delayMs: 0 })
  await api.call("PATCH", "/v1/triggers/h", change)
  expect(await depths()).toEqual([0, 3])
  await api.call("DELETE", "/v1/triggers/h")
})

test("the command line says what stays, and how to bring it along", async () => {
  await owing("b", 2)
  const kept = await cli("trigger", "update", "b", "--destination", "new")
  expect(kept.err).toContain(
    "2 open deliveries of it still go to old; to bring them to new: redcar trigger update b --backlog move",
  )
  const moved = await cli("trigger", "update", "b", "--backlog", "move")
  expect([moved.code, moved.err]).toEqual([0, ""])
  expect(await depths()).toEqual([0, 2])
  await api.call("DELETE", "/v1/triggers/b")
})

test("a destination that is owed deliveries is not deleted, and is told of whom", async () => {
  await owing("c", 2)
  await owing("d", 1)
  await api.call("PATCH", "/v1/triggers/c", { destination: "new" })
  const refused = await api.call("DELETE", "/v1/destinations/old")
  expect([refused.status, refused.body.code]).toEqual([409, "conflict"])
  expect(refused.body.detail).toContain(
    "destination old is used by trigger d, and is owed 3 open deliveries of trigger c, d; delete or change the triggers",
  )
  await api.call("DELETE", "/v1/triggers/d")
  expect((await api.call("DELETE", "/v1/destinations/old")).body.detail).toContain(
    "destination old is owed 2 open deliveries of trigger c; ",
  )
  await api.call("DELETE", "/v1/triggers/c")
})

test("it is deleted by force: what sends to it rests, and the answer says what becomes of what is owed", async () => {
  await owing("e", 2)
  await owing("f", 1)
  await api.call("PATCH", "/v1/triggers/e", { destination: "new" })
  const tried = await api.call("DELETE", "/v1/destinations/old?force=true&validate_only=true")
  const told = { id: "old", pausedTriggers: ["f"], openDeliveries: 3, openTriggers: ["e", "f"] }
  expect([tried.status, tried.body]).toEqual([200, told])
  expect((await api.call("GET", "/v1/triggers/f")).body.paused).toBe(false)
  const deleted = await api.call("DELETE", "/v1/destinations/old?force=true")
  expect([deleted.status, deleted.body]).toEqual([200, told])
  expect(warnings).toEqual([
    "trigger f is paused, for old is gone: it was deleted; what it owes waits until it is resumed",
  ])
  expect((await api.call("GET", "/v1/destinations/old")).status).toBe(404)
  expect((await api.call("GET", "/v1/triggers/e")).body.paused).toBe(false)
  const resting = (await api.call("GET", "/v1/triggers/f")).body
  expect([resting.paused, resting.pauseReason]).toEqual([true, "old is gone: it was deleted"])
  expect(resting.status.destination).toBeUndefined()
  expect((await cli("trigger", "list")).out).toMatch(/f +orders +old +paused: old is gone: it was deleted +- /)
  const refused = await api.call("POST", "/v1/triggers/f/resume")
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    "trigger f sends to old, which does not exist; create destination old, or change the trigger's destination, then resume it",
  ])
  expect((await cli("trigger", "resume", "f")).code).not.toBe(0)
  await api.call("PATCH", "/v1/triggers/f", { destination: "new", backlog: "move" })
  expect((await api.call("POST", "/v1/triggers/f/resume")).body.paused).toBe(false)
  expect(await depths()).toEqual([2, 1])
})

test("a dead letter of a destination that is no more can be redriven where its trigger takes it along", async () => {
  await api.call("POST", "/v1/destinations", { id: "late", kind: "webhook", config: { url: "https://example.com/" } })
  await owing("g", 1, "late")
  const { queue } = api.engine
  const [lease] = await queue.lease({ lane: "default/late", max: 1, leaseMs: 60_000 })
  const { id } = lease!.delivery
  const lastOutcome = { kind: "failed", detail: "410 Gone", permanent: true } as const
  const death = { address: { tenant: "default", topic: "orders" }, reason: "gone", attempts: 1, diedAt: 0 } as const
  await queue.end(lease!, { kind: "dead", letter: { ...lease!.delivery, ...death, lastOutcome } })
  await api.call("PATCH", "/v1/triggers/g", { destination: "new" })
  expect((await api.call("DELETE", "/v1/destinations/late")).status).toBe(204)
  const refused = await api.call("POST", `/v1/dead-letters/${id}/redrive`)
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    expect.stringContaining('take it along (backlog "move")'),
  ])
  await api.call("PATCH", "/v1/triggers/g", { backlog: "move" })
  expect((await api.call("POST", `/v1/dead-letters/${id}/redrive`)).status).toBe(200)
})

test("where nothing needs it, force does no more, and other resources know none", async () => {
  const said = await cli("destination", "delete", "spare", "--yes", "--force")
  expect([said.code, said.out]).toEqual([
    0,
    "✓ deleted destination spare; no trigger used it; nothing was owed to it\n",
  ])
  const unknown = await api.call("DELETE", "/v1/triggers/e?force=true")
  expect([unknown.status, unknown.body.errors[0].field]).toEqual([400, "force"])
})
