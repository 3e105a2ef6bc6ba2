import { expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId, type Outcome } from "../core/delivery.ts"
import type { Dispatch } from "../core/destination.ts"
import { Event } from "../core/event.ts"
import { createSimulatedChance } from "./chance.ts"
import { createSimulatedClock, runUntil } from "./clock.ts"
import { type Behaviour, createSimulatedNetwork, type Receipt, type SimulatedConfig } from "./destinations.ts"
import { createPower } from "./power.ts"

const cursor = "00000000001" as Cursor
const address = { tenant: "t", topic: "orders" }
const dispatch: Dispatch = {
  stored: { address, cursor, storedAt: 0, event: Event.of({ specversion: "1.0", id: "1", source: "/s", type: "x" }) },
  delivery: {
    id: deliveryId(cursor, "trg", "i1"),
    tenant: "t",
    trigger: "trg",
    incarnation: "i1",
    destination: "dst",
    cursor,
    fingerprint: 0,
  },
  attempt: 1,
  at: 0,
}

async function world(behaviour: Behaviour, batch?: SimulatedConfig["batch"]) {
  const clock = createSimulatedClock()
  const receipts: Receipt[] = []
  const network = createSimulatedNetwork({
    clock,
    chance: createSimulatedChance(1),
    onReceipt: (receipt) => void receipts.push(receipt),
  })
  network.endpoint("e").behaviour = behaviour
  const power = createPower({ clock })
  const context = { tenant: "t", signingKeys: [], publish: async () => {} }
  const sender = await network.kind(power).open({ endpoint: "e", timeoutMs: 1_000, ...(batch && { batch }) }, context)
  return { clock, receipts, network, power, sender }
}

test.each<[Behaviour, Partial<Outcome>, number | undefined]>([
  [{ kind: "answers", status: 204 }, { kind: "delivered" }, 204],
  [{ kind: "answers", status: 503, retryAfterMs: 700 }, { kind: "failed", permanent: false, retryAfterMs: 700 }, 503],
  [{ kind: "answers", status: 400 }, { kind: "failed", permanent: true }, 400],
  [{ kind: "answers", status: 410 }, { kind: "failed", gone: true }, 410],
  [{ kind: "loses-answers" }, { kind: "failed", permanent: false, detail: "no answer in time" }, 204],
  [{ kind: "hangs" }, { kind: "failed", permanent: false, detail: "no answer in time" }, undefined],
])("%o", async (behaviour, outcome, status) => {
  const { clock, receipts, sender } = await world(behaviour)
  expect(await runUntil(clock, sender.send(dispatch, new AbortController().signal))).toMatchObject(outcome)
  expect(receipts).toMatchObject([{ endpoint: "e", status, dispatch: { attempt: 1 } }])
})

test("an aborted send ends at once, and its request may arrive all the same", async () => {
  const { clock, receipts, sender } = await world({ kind: "answers", status: 204 })
  const stop = new AbortController()
  const sent = sender.send(dispatch, stop.signal)
  stop.abort()
  expect(await sent).toMatchObject({ kind: "failed", permanent: false })
  await clock.advance(10)
  expect(receipts).toHaveLength(1)
})

test("the request of a dead process arrives; its answer reaches nobody", async () => {
  const { clock, receipts, power, sender } = await world({ kind: "answers", status: 204 })
  let answered = false
  void sender.send(dispatch, new AbortController().signal).then(() => {
    answered = true
  })
  power.cut()
  await clock.advance(10_000)
  expect(receipts).toHaveLength(1)
  expect(answered).toBe(false)
})

test("a slow endpoint answers later than a fast one that was asked later", async () => {
  const { clock, network, power, sender } = await world({ kind: "answers", status: 204 })
  network.endpoint("e").latencyMs = [100, 100]
  const fast = await network
    .kind(power)
    .open({ endpoint: "fast", timeoutMs: 1_000 }, { tenant: "t", signingKeys: [], publish: async () => {} })
  const order: string[] = []
  const { signal } = new AbortController()
  void sender.send(dispatch, signal).then(() => order.push("slow"))
  void fast.send(dispatch, signal).then(() => order.push("fast"))
  await clock.advance(1_000)
  expect(order).toEqual(["fast", "slow"])
})

test("an endpoint that tells of each event says nothing of some, and those have failed", async () => {
  const { clock, receipts, sender } = await world({ kind: "tells" }, { eventsMax: 20, waitMs: 0, outcomes: "each" })
  const dispatches = Array.from({ length: 20 }, (_, i) => {
    const id = deliveryId(cursor, `trg${i}`, "i1")
    return { ...dispatch, delivery: { ...dispatch.delivery, id } }
  })
  const sent = await runUntil(clock, sender.sendBatch!({ id: "b", dispatches }, new AbortController().signal))
  expect(sent.answer).toMatchObject({ kind: "delivered" })
  const isTaken = ({ status = 0 }: Receipt) => status >= 200 && status < 300
  expect(sent.each!.map(({ kind }) => kind === "delivered")).toEqual(receipts.map(isTaken))
  expect(new Set(receipts.map(({ status }) => status))).toEqual(new Set([200, 204, 422, 503, undefined]))
  expect(receipts.some(({ isShared }) => isShared)).toBe(false)
})

test("an answer to several is that of all, and of none in particular", async () => {
  const { clock, receipts, sender } = await world(
    { kind: "answers", status: 400 },
    { eventsMax: 2, waitMs: 0, outcomes: "all" },
  )
  const batch = { id: "b", dispatches: [dispatch, dispatch] }
  const sent = await runUntil(clock, sender.sendBatch!(batch, new AbortController().signal))
  expect(sent).toMatchObject({ answer: { kind: "failed", permanent: true } })
  expect(sent.each).toBeUndefined()
  expect(receipts).toMatchObject(Array(2).fill({ status: 400, isShared: true }))
})
