import { setTimeout as pause } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { laneOf } from "../../../core/delivery.ts"
import { AssignmentLostError, LeaseLostError, StorageError } from "../../../core/errors.ts"
import type { DeliveryQueue } from "../../../core/queue.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { delivery, ids, lane, letter, take, takeOne } from "../../conformance/queue-fixture.ts"
import { stableHash } from "../names.ts"
import { cursorAt, TestHub, type TestProcess } from "./queue-harness.fixture.ts"

const shards = 4
const numberOf = (name: string) => stableHash(name) % shards
/** A destination whose lane is in this shard. */
const destinationIn = (number: number) => {
  for (let i = 0; ; i++) if (numberOf(`acme/d${i}`) === number) return `d${i}`
}
const laneIn = (number: number) => `acme/${destinationIn(number)}`
const spread = (sequence: number) =>
  Array.from({ length: shards }, (_, number) =>
    delivery(cursorAt(sequence), { trigger: `t${number}`, destination: destinationIn(number) }),
  )

if (natsAvailable() === undefined) {
  test.skip("shards of the queue that move: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("shards that move from process to process", () => {
    let server: Nats
    let hub: TestHub
    let runs = 0
    let a: TestProcess
    let b: TestProcess

    beforeAll(async () => {
      server = await startNats()
    })
    afterAll(() => server?.stop())
    beforeEach(async () => {
      hub = new TestHub(server.url, `f${++runs}`, shards)
      a = await hub.start(systemClock, true)
      b = await hub.start(systemClock, false, { serve: true })
    })
    afterEach(() => hub.dispose())

    const toB = () => Promise.all(Array.from({ length: shards }, (_, number) => hub.assignments.move(number, b.member)))
    const seizeForB = () => {
      for (let number = 0; number < shards; number++) hub.assignments.seize(number, b.member)
    }
    const held = async (process: TestProcess, count: number) => {
      await expect.poll(() => process.queue.figures().queue_shards, { timeout: 5_000 }).toBe(count)
    }

    test("a move takes along what is open, and what is leased may end first", async () => {
      await a.queue.enqueue(spread(1).concat(spread(2)), { reader: "router", cursor: cursorAt(2) })
      const leases = await take(a.queue, 1, laneIn(0))
      const moving = toB()
      await pause(100)
      expect(await take(a.queue, 9, laneIn(0))).toEqual([])
      await a.queue.end(leases[0]!, { kind: "done" })
      await moving
      await held(b, shards)
      expect(a.queue.figures().queue_shards).toBe(0)
      expect(ids(await take(b.queue, 9, laneIn(0)))).toEqual([spread(2)[0]!.id])
      for (let number = 1; number < shards; number++) {
        expect(await take(b.queue, 9, laneIn(number))).toHaveLength(2)
        expect(await a.queue.depth(laneIn(number))).toBe(2)
      }
      expect(await a.queue.position("router")).toBe(cursorAt(2))
    })

    test("a router and workers go on while shards move between them: each delivery is done once", async () => {
      const total = 150
      const stop = new AbortController()
      const done: string[] = []
      const work = async ({ queue }: TestProcess) => {
        for await (const name of queue.lanes(stop.signal)) {
          const next = () => queue.lease({ lane: name, max: 10, leaseMs: 60_000 })
          for (let leases = await next(); leases.length > 0; leases = await next()) {
            for (const lease of leases) await queue.end(lease, { kind: "done" })
            done.push(...ids(leases))
          }
        }
      }
      const route = async () => {
        for (let i = 1; i <= total; ) {
          try {
            await a.queue.enqueue(spread(i), { reader: "router", cursor: cursorAt(i) })
            i++
          } catch (error) {
            expect(error).toBeInstanceOf(StorageError)
            await pause(10)
          }
        }
      }
      const move = async () => {
        for (const { member } of [b, a, b]) {
          for (let number = 0; number < shards; number++) {
            await hub.assignments.move(number, member)
            await pause(20)
          }
        }
      }
      const working = Promise.all([work(a), work(b)])
      await Promise.all([route(), move()])
      await held(b, shards)
      await expect.poll(() => done.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(total * shards)
      stop.abort()
      await working
      const owed = Array.from({ length: total }, (_, i) => spread(i + 1).map(({ id }) => id)).flat()
      expect(done.toSorted()).toEqual(owed.toSorted())
    })

    test("who listens hears of lanes that come to be here, and not of those that went", async () => {
      await a.queue.enqueue(spread(1))
      const stop = new AbortController()
      const heard = new Set<string>()
      const listening = (async () => {
        for await (const name of b.queue.lanes(stop.signal)) heard.add(name)
      })()
      await hub.assignments.move(2, b.member)
      await expect.poll(() => [...heard]).toEqual([laneIn(2)])
      await a.queue.enqueue(spread(2))
      stop.abort()
      await listening
      expect([...heard]).toEqual([laneIn(2)])
    })

    test("the death of a process: another goes on with all that was acknowledged, and old leases end nothing", async () => {
      await a.queue.enqueue(spread(1), { reader: "router", cursor: cursorAt(1) })
      const done = await takeOne(a.queue, laneIn(0))
      await a.queue.end(done, { kind: "done" })
      const [leased] = await take(a.queue, 1, laneIn(1))
      await a.queue.end(await takeOne(a.queue, laneIn(2)), { kind: "dead", letter: letter(spread(1)[2]!) })
      const [name, held3] = [laneIn(3), await takeOne(a.queue, laneIn(3))]
      await a.queue.end(held3, { kind: "hold" })
      await a.die()
      await expect(b.queue.depth(name)).rejects.toThrow(StorageError)
      expect(b.queue.health()).toHaveLength(1)
      seizeForB()
      await held(b, shards)
      expect(b.queue.health()).toEqual([])
      expect(await take(b.queue, 9, laneIn(0))).toEqual([])
      const again = await takeOne(b.queue, laneIn(1))
      expect(again.token).not.toBe(leased!.token)
      await expect(b.queue.end(leased!, { kind: "done" })).rejects.toThrow(LeaseLostError)
      expect(await b.queue.deadLetters({ tenant: "acme", limit: 9 })).toEqual([letter(spread(1)[2]!)])
      expect(await b.queue.open(spread(1)[3]!)).toMatchObject({ state: "held" })
      await b.queue.enqueue(spread(1), { reader: "router", cursor: cursorAt(1) })
      expect(await b.queue.depth(laneIn(0))).toBe(0)
    })

    test("a process that does not know that it has lost its assignments can change nothing any more", async () => {
      await a.queue.enqueue(spread(1).concat(spread(2)), { reader: "router", cursor: cursorAt(2) })
      const leases = await Promise.all([0, 1, 2, 3].map(async (n) => (await take(a.queue, 1, laneIn(n)))[0]!))
      seizeForB()
      await held(b, shards)
      const more = await take(a.queue, 9, laneIn(0))
      await expect(a.queue.end(leases[0]!, { kind: "done" })).rejects.toThrow(LeaseLostError)
      await expect(a.queue.end(leases[1]!, { kind: "hold" })).rejects.toThrow(LeaseLostError)
      await expect(a.queue.end(leases[2]!, { kind: "retry", delayMs: 1 })).rejects.toThrow(LeaseLostError)
      await expect(a.queue.end(leases[3]!, { kind: "dead", letter: letter(spread(1)[3]!) })).rejects.toThrow(
        LeaseLostError,
      )
      for (const lease of more)
        await expect(a.queue.end(lease, { kind: "release", delayMs: 0 })).rejects.toThrow(LeaseLostError)
      expect(await take(a.queue, 9, laneIn(0))).toEqual([])
      for (let number = 0; number < shards; number++) {
        expect(ids(await take(b.queue, 9, laneIn(number)))).toEqual([spread(1)[number]!.id, spread(2)[number]!.id])
      }
      // It asks the others now, as anybody does.
      await a.queue.enqueue(spread(3), { reader: "router", cursor: cursorAt(3) })
      expect(await b.queue.position("router")).toBe(cursorAt(3))
    })

    test("a stale holder of its assignments answers no reader's position, and takes no enqueueing", async () => {
      await a.queue.enqueue(spread(1), { reader: "router", cursor: cursorAt(1) })
      seizeForB()
      await held(b, shards)
      await b.queue.enqueue(spread(2), { reader: "router", cursor: cursorAt(2) })
      const asked = async () => a.queue.position("router").catch((error: unknown) => error)
      const first = await asked()
      expect(first instanceof StorageError || first === cursorAt(2)).toBe(true)
      await held(a, 3)
      expect(await asked()).toBe(cursorAt(2))
      const adding = a.queue.enqueue(spread(3), { reader: "router", cursor: cursorAt(3) })
      await expect(adding).rejects.toThrow(StorageError)
      await held(a, 0)
      await a.queue.enqueue(spread(3), { reader: "router", cursor: cursorAt(3) })
      for (let number = 0; number < shards; number++) expect(await b.queue.depth(laneIn(number))).toBe(3)
    })

    test("an earlier holder of an assignment who claims its shards too late does not keep them", async () => {
      await a.queue.enqueue(spread(1))
      hub.assignments.seize(0, b.member, 0)
      await held(a, shards)
      await pause(50)
      await expect.poll(() => a.queue.enqueue(spread(2)).then(() => "done", String), { timeout: 5_000 }).toBe("done")
      expect(b.queue.figures().queue_shards).toBe(0)
      expect(ids(await take(a.queue, 9, laneIn(0)))).toEqual([spread(1)[0]!.id, spread(2)[0]!.id])
    })

    test("readers of a later claim keep those of an earlier one out, in every shard and through moves", async () => {
      const position = (epoch: number, sequence: number) => ({
        reader: "router",
        cursor: cursorAt(sequence),
        fence: { name: "route/0", epoch },
      })
      await b.queue.claim({ name: "route/0", epoch: 3 })
      await b.queue.enqueue(spread(1), position(3, 1))
      await a.queue.claim({ name: "route/0", epoch: 4 })
      await a.queue.claim({ name: "route/1", epoch: 1 })
      const refused = async (queue: DeliveryQueue) => {
        await expect(queue.claim({ name: "route/0", epoch: 3 })).rejects.toThrow(AssignmentLostError)
        for (const d of spread(2)) await expect(queue.enqueue([d], position(3, 2))).rejects.toThrow(AssignmentLostError)
        await expect(queue.enqueue([], position(3, 2))).rejects.toThrow(AssignmentLostError)
      }
      await refused(b.queue)
      await refused(a.queue)
      seizeForB()
      await held(b, shards)
      await refused(b.queue)
      expect(await b.queue.position("router")).toBe(cursorAt(1))
      await b.queue.enqueue(spread(2), position(4, 2))
      for (const d of spread(1)) expect(await b.queue.depth(laneOf(d))).toBe(2)
    })

    test("what is too much for one message crosses in several, and the position with the last", async () => {
      const all = Array.from({ length: 12_000 }, (_, i) =>
        delivery(cursorAt(i + 1), { trigger: `${"x".repeat(40)}${i}` }),
      )
      await b.queue.enqueue(all, { reader: "router", cursor: cursorAt(12_000) })
      expect(await b.queue.depth(lane)).toBe(12_000)
      expect(await b.queue.position("router")).toBe(cursorAt(12_000))
      const leases = await take(a.queue, 1_500)
      const long = { detail: "x".repeat(4_000), kind: "failed", permanent: true } as const
      await Promise.all(
        leases.map((lease) =>
          a.queue.end(lease, { kind: "dead", letter: { ...letter(lease.delivery), lastOutcome: long } }),
        ),
      )
      const found = await b.queue.deadLetters({ tenant: "acme", limit: 1_200 })
      expect(found.map(({ id }) => id)).toEqual(all.slice(0, 1_200).map(({ id }) => id))
      let carried = 0
      for await (const items of b.queue.carried()) carried += items.length
      expect(carried).toBe(12_000)
    })

    test("while nobody holds shards all that needs them fails as passing, and health says so", async () => {
      await a.close()
      for (const call of [
        () => b.queue.enqueue(spread(1)),
        () => b.queue.position("router"),
        () => b.queue.claim({ name: "route/0", epoch: 1 }),
        () => b.queue.drop("acme", "t1", "i1"),
        () => b.queue.deadLetters({ tenant: "acme", limit: 1 }),
      ]) {
        await expect(call()).rejects.toThrow(StorageError)
      }
      expect(b.queue.health()).toEqual([
        "no shard of the delivery queue can be asked (no process holds it): deliveries wait; a process with the role deliver is needed",
      ])
    })
  })
}
