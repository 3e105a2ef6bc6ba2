import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "../../cli/terminal.fixture.ts"
import type { Cursor } from "../../core/cursor.ts"
import { type DeadReason, type Delivery, deliveryId } from "../../core/delivery.ts"
import { fingerprintOf } from "../../core/fingerprint.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

let api: TestApi
let cursors: readonly Cursor[]
const now = 1_800_000_000_000

beforeAll(async () => {
  api = await openTestApi()
  cursors = await api.append("orders:7", ["1", "2", "3", "4", "5", "6"])
  for (const [i, cursor] of cursors.entries()) await die(cursor, i < 4 ? "exhausted" : "permanent")
})
afterAll(() => api.close())

async function die(cursor: Cursor, reason: DeadReason): Promise<void> {
  const { queue, log } = api.engine
  const stored = await log.get(cursor)
  const names = { tenant: "default", trigger: "ship", incarnation: "i1", destination: "shop", cursor }
  const delivery: Delivery = { ...names, id: deliveryId(cursor, "ship", "i1"), fingerprint: fingerprintOf(stored!) }
  await queue.enqueue([delivery])
  const [lease] = await queue.lease({ lane: "default/shop", max: 1, leaseMs: 60_000 })
  const lastOutcome = { kind: "failed", detail: "400 Bad Request", permanent: true } as const
  await queue.end(lease!, {
    kind: "dead",
    letter: { ...delivery, address: stored!.address, reason, attempts: 1, diedAt: now, lastOutcome },
  })
}

const idAt = (i: number) => deliveryId(cursors[i]!, "ship", "i1")
const left = async () => (await api.call("GET", "/v1/dead-letters")).body.items.map(({ id }: { id: string }) => id)

test("one is discarded with a reason, which is told with what became of its event", async () => {
  const path = `/v1/dead-letters/${idAt(0)}/discard`
  for (const body of [{}, { reason: "" }, { reason: "x".repeat(501) }, { reason: 5 }]) {
    const { status, body: problem } = await api.call("POST", path, body)
    expect([status, problem.errors[0].field]).toEqual([400, "reason"])
  }
  expect((await api.call("POST", path, { reason: "mine" }, { authorization: "Bearer other" })).status).toBe(404)
  const answer = await api.call("POST", path, { reason: "paid by hand" })
  expect(answer.body).toEqual({ matched: 1, discarded: 1 })
  expect((await api.call("POST", path, { reason: "again" })).status).toBe(404)
  expect((await api.call("POST", `/v1/dead-letters/${idAt(0)}/redrive`, {})).status).toBe(404)
  const { items } = (await api.call("GET", `/v1/events/${cursors[0]}/deliveries`)).body
  const discarded = { at: expect.stringMatching(/Z$/), reason: "paid by hand", by: "admin" }
  expect(items).toEqual([
    { id: idAt(0), trigger: "ship", destination: "shop", state: "discarded", attempts: [], discarded },
  ])
  const journey = (await api.call("GET", `/v1/events/${cursors[0]}/journey`)).body
  expect(journey.triggers[0].delivery).toMatchObject({ state: "discarded", discarded })
  const flags = ["--url", api.url, "--key", "admin"]
  expect((await runCli(["event", "journey", cursors[0]!, ...flags])).out).toMatch(/discarded at .*Z: paid by hand/)
  expect((await runCli(["event", "deliveries", cursors[0]!, ...flags])).out).toMatch(/discarded +0 +- +paid by hand/)
})

test("an event on the log tells of it, once", async () => {
  const read = await api.call("GET", "/v1/topics/redcar.dead-letters/events")
  const told = read.body.filter(({ type }: { type: string }) => type === "redcar.dead-letter.discarded")
  expect(told).toHaveLength(1)
  expect(told[0]).toMatchObject({
    subject: idAt(0),
    causationid: "1",
    data: {
      delivery: idAt(0),
      trigger: "ship",
      topic: "orders",
      reason: "paid by hand",
      deadReason: "exhausted",
      diedAt: now,
    },
  })
})

test("many are discarded by what they are, part by part; counting changes nothing", async () => {
  const discard = (body: object) => api.call("POST", "/v1/dead-letters/discard", body)
  expect((await discard({ destination: "shop" })).body.errors).toMatchObject([{ field: "reason" }])
  const counted = await discard({ reason: "over", deadReason: "exhausted", dryRun: true })
  expect(counted.body).toEqual({ matched: 3, discarded: 0 })
  const first = await discard({ reason: "over", deadReason: "exhausted", limit: 2 })
  expect(first.body).toEqual({ matched: 2, discarded: 2, nextPageToken: expect.any(String) })
  const { nextPageToken: pageToken } = first.body
  expect((await discard({ reason: "other", deadReason: "exhausted", limit: 2, pageToken })).status).toBe(400)
  const rest = await discard({ reason: "over", deadReason: "exhausted", limit: 2, pageToken })
  expect(rest.body).toEqual({ matched: 1, discarded: 1 })
  expect(await left()).toEqual([idAt(4), idAt(5)])
})

test("the command line asks first, and discards", async () => {
  const flags = ["--url", api.url, "--key", "admin"]
  const many = ["dead-letter", "discard", "--destination", "shop", "--reason", "the shop has closed"]
  expect((await runCli([...many, "--dry-run", ...flags])).out).toBe("✓ 2 dead letters would be discarded for good\n")
  expect((await runCli([...many, ...flags])).err).toMatch(/would be discarded for good; nothing was done/)
  const one = await runCli(["dead-letter", "discard", idAt(4), "--reason", "old", "--yes", ...flags])
  expect(one.out).toBe(`✓ dead letter ${idAt(4)} is discarded\n`)
  expect((await runCli([...many, "--yes", "--json", ...flags])).out).toBe(
    `${JSON.stringify({ matched: 1, discarded: 1 }, null, 2)}\n`,
  )
  expect(await left()).toEqual([])
})

test("of a discard that loses against a redrive nothing is told", async () => {
  const [cursor] = await api.append("orders:8", ["raced"])
  await die(cursor!, "exhausted")
  const { queue } = api.engine
  const discard = queue.discard.bind(queue)
  queue.discard = async (tenant, id) => {
    await queue.redrive(tenant, id)
    return discard(tenant, id)
  }
  const id = deliveryId(cursor!, "ship", "i1")
  const { body } = await api.call("POST", `/v1/dead-letters/${id}/discard`, { reason: "late" })
  queue.discard = discard
  expect(body).toEqual({ matched: 1, discarded: 0 })
  const { body: told } = await api.call("GET", "/v1/topics/redcar.dead-letters/events")
  expect(told.filter(({ subject }: { subject: string }) => subject === id)).toEqual([])
  const { items } = (await api.call("GET", `/v1/events/${cursor}/deliveries`)).body
  expect(items).toMatchObject([{ id, state: "due" }])
})
