import { describe, expect, it } from "vitest"
import { attemptsTopic } from "../core/address.ts"
import type { Outcome } from "../core/delivery.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Dispatch } from "../core/destination.ts"
import { OverloadError, PublishRefusedError } from "../core/errors.ts"
import { Event } from "../core/event.ts"
import { hopsAttribute, hopsMax } from "../core/hops.ts"
import type { StoredEvent } from "../core/log.ts"
import { Delivering, ok } from "../testing/delivering.ts"
import { createEvent, ordersAddress } from "../testing/samples.ts"
import { partAttribute, Replies, replyKey } from "./replies.ts"

const reply = { topic: "invoices" }

/** Answers with events of these ids. */
async function answer({ reply }: Dispatch, ...ids: readonly string[]): Promise<Outcome> {
  const taken = await reply!.take(ids.map((id) => createEvent(id)))
  return taken.kind === "failed" ? taken : { ...(ok as Extract<Outcome, { kind: "delivered" }>), reply: taken }
}

async function replies(hub: Delivering): Promise<StoredEvent[]> {
  const found: StoredEvent[] = []
  const read = async () => {
    for await (const { events } of hub.engine.log.read({ where: { tenant: "default", ...reply } }))
      found.push(...events)
  }
  await hub.machine.run(read())
  return found
}

const idsOf = (stored: readonly StoredEvent[]) => stored.map(({ event }) => event.id)

describe("what a destination answers with", () => {
  it("is published before its delivery is done, caused by its event, and the attempt tells where", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", (dispatch) => answer(dispatch, "r1"), { reply })
    const [cursor] = await hub.owe(1, "a")
    await hub.empty("a")
    const [stored] = await replies(hub)
    expect(stored!.address.key).toBe(deliveryId(cursor!, "a", ""))
    expect(stored!.event.attributes).toEqual({
      ...createEvent("r1").attributes,
      ...{ causationid: "e0", correlationid: "e0", [hopsAttribute]: 1 },
    })
    const [attempt] = await hub.records(attemptsTopic)
    expect(attempt!.data).toMatchObject({
      outcome: { kind: "delivered", reply: { kind: "published", topic: "invoices", cursors: [stored!.cursor] } },
      verdict: { kind: "done" },
    })
  })

  it("is the first answer, where a crash comes before its delivery is done and the next attempt is answered otherwise", async () => {
    const hub = await Delivering.start()
    const answers = [["first-1", "first-2"], ["second"]]
    const owed = Promise.withResolvers<void>()
    await hub.connect(
      "a",
      async (dispatch) => {
        await owed.promise
        const outcome = await answer(dispatch, ...answers.shift()!)
        if (answers.length > 0) hub.power.cut()
        return outcome
      },
      { reply },
    )
    await hub.owe(1, "a")
    owed.resolve()
    await hub.machine.until(() => !hub.power.on)
    await hub.boot()
    await hub.empty("a")
    const stored = await replies(hub)
    expect(idsOf(stored)).toEqual(["first-1", "first-2"])
    expect(stored.map(({ event }) => event.attribute(partAttribute))).toEqual(["1/2", "2/2"])
    const [attempt] = await hub.records(attemptsTopic)
    expect(attempt!.data.outcome).toMatchObject({
      reply: { kind: "published", cursors: stored.map(({ cursor }) => cursor), duplicate: true },
    })
  })

  it("of which a crash left a part is completed by the same answer, and by no other", async () => {
    for (const [again, ids] of [
      [
        ["r1", "r2", "r3"],
        ["r2", "r1", "r3"],
      ],
      [["x1", "x2"], ["r2"]],
    ] as const) {
      const hub = await Delivering.start()
      await hub.connect("a", (dispatch) => answer(dispatch, ...again), { reply })
      const part = Event.of({ ...createEvent("r2").attributes, [partAttribute]: "2/3" })
      const cursor = (await hub.machine.run(hub.engine.log.append(ordersAddress, [createEvent("e")])))[0]!.cursor
      const address = { tenant: "default", ...reply, key: replyKey(deliveryId(cursor, "a", "")) }
      await hub.machine.run(hub.engine.log.append(address, [part]))
      await hub.oweAt([cursor], "a")
      await hub.empty("a")
      expect(idsOf(await replies(hub))).toEqual(ids)
      const [attempt] = await hub.records(attemptsTopic)
      const told = (attempt!.data.outcome as { reply: { kind: string } }).reply.kind
      expect(told).toBe(ids.length === 3 ? "published" : "refused")
    }
  })

  it("is refused where its event came of too many replies: a circle comes to an end", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", (dispatch) => answer(dispatch, "r"), { reply })
    const events = [
      createEvent("last", { [hopsAttribute]: hopsMax - 1 }),
      createEvent("over", { [hopsAttribute]: hopsMax }),
    ]
    const appended = await hub.machine.run(hub.engine.log.append(ordersAddress, events))
    await hub.oweAt([appended[0]!.cursor], "a")
    await hub.empty("a")
    await hub.oweAt([appended[1]!.cursor], "a")
    await hub.empty("a")
    expect((await replies(hub)).map(({ event }) => event.attribute(hopsAttribute))).toEqual([hopsMax])
    const told = (await hub.records(attemptsTopic)).map(({ stored, data }) => [
      stored.event.attribute(hopsAttribute),
      data,
    ])
    expect(told).toMatchObject([
      [hopsMax - 1, { outcome: { reply: { kind: "published" } } }],
      [hopsMax, { verdict: { kind: "done" }, outcome: { reply: { kind: "refused" } } }],
    ])
  })

  it("is nobody's where its trigger does not say a topic, and goes alone where others go in company", async () => {
    const hub = await Delivering.start()
    const config = { to: "b", batch: { eventsMax: 10, bytesMax: 1 << 20, waitMs: 100 } }
    const dispatches: Dispatch[] = []
    hub.batchBehaviours.set("b", ({ dispatches: all }) => {
      dispatches.push(...all)
      return { answer: ok }
    })
    await hub.connect("b", () => ok, {}, { config })
    await hub.trigger("c", { reply, destination: "b" })
    const cursors = await hub.owe(3, "b")
    const deliveries = cursors.map((cursor) => {
      const of = { tenant: "default", trigger: "c", incarnation: "", destination: "b", fingerprint: 0 }
      return { ...of, id: deliveryId(cursor, "c", ""), cursor }
    })
    await hub.machine.run(hub.engine.queue.enqueue(deliveries))
    await hub.empty("b")
    expect(hub.batches.map(({ batch }) => batch.dispatches.length).toSorted()).toEqual([1, 1, 1, 3])
    expect(dispatches.map(({ delivery, reply }) => [delivery.trigger, reply !== undefined]).toSorted()).toEqual([
      ...Array(3).fill(["b", false]),
      ...Array(3).fill(["c", true]),
    ])
  })
})

describe("an answer that is not published", () => {
  const passing = [new OverloadError(100), new PublishRefusedError("the disk is full", undefined, true)] as const
  const event = createEvent("e")
  const delivery = {
    ...{ id: "0.a", tenant: "default", trigger: "a", incarnation: "", destination: "a", fingerprint: 0 },
    cursor: "0" as StoredEvent["cursor"],
  }
  const take = (publish: () => Promise<never>, trigger: object | undefined = { reply }) => {
    const log = { get: async () => undefined, last: async () => undefined, read: () => nothing() }
    const directory = { trigger: async () => trigger as never }
    return new Replies({ bytesMax: 1, publish, log, directory }).to(delivery, event).take([createEvent("r")])
  }

  it.each(passing)("fails the attempt where %s says that it may be another time", async (error) => {
    expect(await take(() => Promise.reject(error))).toMatchObject({ kind: "failed", permanent: false })
  })

  it("is told where it never will be, and where its trigger wants none any more", async () => {
    const refusal = new PublishRefusedError("there is no topic invoices")
    expect(await take(() => Promise.reject(refusal))).toEqual({ kind: "refused", detail: refusal.message })
    const unasked = () => Promise.reject(new Error("nobody is to be asked"))
    expect(await take(unasked, {})).toMatchObject({ kind: "refused" })
  })

  it("throws what is a bug", async () => {
    await expect(take(() => Promise.reject(new TypeError("a bug")))).rejects.toThrow("a bug")
  })
})

async function* nothing(): AsyncGenerator<never> {}

it("a delivery's key is its id, and never longer than a key may be", () => {
  expect(replyKey("000000000ko.paid.mg1abcd0012xyz")).toBe("000000000ko.paid.mg1abcd0012xyz")
  const long = (n: number) => `000000000ko.${"a".repeat(63)}.mg1abcd0012xyz.${"r".repeat(62)}${n}`
  expect(replyKey(long(1))).toMatch(/^000000000ko\.~[0-9a-f]{64}$/)
  expect(replyKey(long(1))).not.toBe(replyKey(long(2)))
})
