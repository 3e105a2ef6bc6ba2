import { Webhook } from "standardwebhooks"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { BatchSent, Sender } from "../../core/destination.ts"
import { Event } from "../../core/event.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock, type SimulatedClock } from "../../testing/clock.ts"
import { dispatch } from "../conformance.ts"
import { issueSigningKey } from "../signing.ts"
import { batchBodyKeptBytes, outcomesBytesMax } from "./batch.ts"
import type { WebhookConfig } from "./config.ts"
import { webhookKind } from "./kind.ts"
import { answering, openReceiver, type Receiver } from "./receiver.fixture.ts"

const key = issueSigningKey("v1", 0, createSimulatedChance(1))
const events = [1, 2, 3].map((n) => {
  const attributes = { specversion: "1.0", id: `${n}`, source: "/shop", type: "order.placed" }
  return Event.of({ ...attributes, datacontenttype: "application/json" }, Buffer.from(`{"order":${n}}`), "json")
})

let receiver: Receiver
let clock: SimulatedClock
let sender: Sender
beforeEach(async () => {
  receiver = await openReceiver()
  clock = createSimulatedClock(Date.now())
})
afterEach(async () => {
  await receiver.close()
  await sender.close()
})

async function sendAll(batch: WebhookConfig["batch"], count = 3): Promise<BatchSent> {
  const kind = webhookKind({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const context = { tenant: "default", signingKeys: [key], publish: async () => {} }
  sender = await kind.open({ url: receiver.url, batch: batch! }, context)
  const dispatches = events
    .slice(0, count)
    .map((event, i) => ({ ...dispatch(event, `c${i}.paid.i1`), at: clock.now() }))
  const id = count === 1 ? "c0.paid.i1" : "batch_1"
  return sender.sendBatch!({ id, dispatches }, new AbortController().signal)
}

test("a batch is one signed JSON array of events that say their deliveries", async () => {
  expect(await sendAll({})).toMatchObject({ answer: { kind: "delivered" } })
  const [{ headers, body }] = receiver.arrivals as [(typeof receiver.arrivals)[0]]
  expect(headers).toMatchObject({
    "content-type": "application/cloudevents-batch+json; charset=utf-8",
    "webhook-id": "batch_1",
  })
  const verified = new Webhook(key.secret).verify(body, headers as Record<string, string>) as object[]
  expect(verified).toEqual(
    events.map((event, i) => ({ ...event.attributes, redcardelivery: `c${i}_paid_i1`, data: { order: i + 1 } })),
  )
})

test("of the answer to a batch less is kept with each attempt", async () => {
  receiver.answer = answering(500, {}, "x".repeat(5_000))
  const { answer } = await sendAll({})
  expect(answer.response).toMatchObject({ status: 500, body: "x".repeat(batchBodyKeptBytes), bodyTruncated: true })
  await sender.close()
  expect((await sendAll({}, 1)).answer.response!.body).toHaveLength(4_096)
})

describe("an answer that is to tell of each event", () => {
  const tell = async (body: string, status = 200): Promise<BatchSent> => {
    receiver.answer = answering(status, { "content-type": "application/json" }, body)
    return sendAll({ outcomes: "each" })
  }
  const kinds = ({ answer, each }: BatchSent) => (each ?? [answer]).map(({ kind, detail }) => `${kind} ${detail}`)

  test("tells of each by its id", async () => {
    const outcomes = [
      { id: "c2_paid_i1", status: 200 },
      { id: "c0_paid_i1", status: 503, detail: "the\ndatabase is locked" },
      { id: "c1_paid_i1", status: 410 },
    ]
    const sent = await tell(JSON.stringify({ outcomes }))
    expect(kinds(sent)).toEqual(["failed 503 the database is locked", "failed 410 Gone", "delivered 200 OK"])
    expect(sent.each![0]).toMatchObject({ permanent: false, response: { status: 503 } })
    // No event says that its destination is gone.
    expect(sent.each![1]).toMatchObject({ permanent: false, response: { status: 410 } })
    expect(sent.each![1]).not.toHaveProperty("gone")
  })

  test("loses no event that it does not name, and takes a failure where it names one twice", async () => {
    const outcomes = [
      { id: "c0_paid_i1", status: 200 },
      { id: "c0_paid_i1", status: 500 },
      { id: "c0_paid_i1", status: 200 },
      { id: "c1_paid_i1", status: "200" },
      { id: "another", status: 200 },
      null,
      { id: "c2_paid_i1", status: 99 },
    ]
    const unnamed = "failed the answer to its batch does not name it"
    expect(kinds(await tell(JSON.stringify({ outcomes })))).toEqual([
      "failed 500 Internal Server Error",
      unnamed,
      unnamed,
    ])
  })

  test.each(["", "ok", "[]", "null", "{}", '{"outcomes":{}}', '{"outcomes":[', `${"[".repeat(50_000)}`])(
    "loses nothing where it is not understood: %.20s",
    async (body) => {
      const { answer, each } = await tell(body)
      expect(each).toBeUndefined()
      expect(answer).toMatchObject({ kind: "failed", permanent: false, response: { status: 200 } })
    },
  )

  test("loses nothing where it is too long", async () => {
    const outcomes = events.map((_, i) => ({ id: `c${i}_paid_i1`, status: 200 }))
    const long = JSON.stringify({ outcomes, more: "x".repeat(outcomesBytesMax({})) })
    expect((await tell(long)).answer).toMatchObject({ kind: "failed", permanent: false })
  })

  test("says by 204 that all are done, and by a status of its own that none is", async () => {
    receiver.answer = answering(204)
    const done = await sendAll({ outcomes: "each" })
    expect(done).toMatchObject({ answer: { kind: "delivered" } })
    expect(done.each).toBeUndefined()
    await sender.close()
    const refused = await tell(JSON.stringify({ outcomes: [{ id: "c0_paid_i1", status: 200 }] }), 500)
    expect(refused.each).toBeUndefined()
    expect(refused.answer).toMatchObject({ kind: "failed" })
  })
})
