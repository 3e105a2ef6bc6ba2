import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type NatsConnection, TimeoutError } from "@nats-io/nats-core"
import { connect } from "@nats-io/transport-node"
import fc from "fast-check"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { OverloadError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { JournalStore, type JournalStoreOptions } from "../../parts/journal/journal-store.ts"
import { decodeRecord, decodeWrites, encodeRecord, encodeWrites } from "../../parts/journal/record.ts"
import { type Table, tables, type Write } from "../../parts/store.ts"
import { ensureJournal, Journal, JournalLostError } from "./journal.ts"
import { takeOver } from "./takeover.ts"

const table = fc.constantFrom<Table>("deliveries", "parked", "dead", "positions", "meta")
const key = fc.integer({ min: 0, max: 20 }).map((n) => `k${n}`)
const write: fc.Arbitrary<Write> = fc.oneof(
  fc.record({ table, key, value: fc.uint8Array({ maxLength: 120 }) }),
  fc.record({ table, key, value: fc.constant(undefined) }),
)

describe("a message of the journal", () => {
  test("holds any writes, whole or in parts", () => {
    fc.assert(
      fc.property(fc.array(write), fc.integer({ min: 1, max: 500 }), fc.boolean(), (writes, partBytes, begins) => {
        const bytes = encodeWrites(writes)
        const parts: Buffer[] = []
        for (let at = 0; at < bytes.length; at += partBytes) {
          const record = encodeRecord([bytes.subarray(at, at + partBytes)], { more: true, begins })
          const decoded = decodeRecord(record, "here")
          expect(decoded).toMatchObject({ more: true, begins })
          parts.push(decoded.bytes)
        }
        expect(plain(decodeWrites(Buffer.concat(parts)))).toEqual(plain(writes))
      }),
    )
  })

  test("that was changed anywhere is refused", () => {
    const record = encodeRecord([encodeWrites([{ table: "dead", key: "k", value: Buffer.from("v") }])], {
      more: false,
      begins: false,
    })
    for (let i = 0; i < record.length; i++) {
      const changed = Buffer.from(record)
      changed[i]! ^= 1
      expect(() => decodeRecord(changed, "here")).toThrow("damaged: here")
      expect(() => decodeRecord(record.subarray(0, i), "here")).toThrow("damaged: here")
    }
  })
})

const plain = (writes: readonly Write[]) =>
  writes.map(({ table, key, value }) => [table, key, value && Buffer.from(value).toString("hex")])

if (natsAvailable() === undefined) {
  test.skip("a queue's journal: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("a store with its journal in NATS", () => {
    let server: Nats
    let nats: NatsConnection
    let directory: string
    let opened: JournalStore[]
    let runs = 0

    beforeAll(async () => {
      server = await startNats()
      nats = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    })
    afterAll(async () => {
      await nats?.close()
      await server?.stop()
    })
    beforeEach(() => {
      runs++
      opened = []
      directory = mkdtempSync(join(tmpdir(), "redcar-journal-"))
    })
    afterEach(async () => {
      await Promise.all(opened.map((store) => store.close()))
      rmSync(directory, { recursive: true, force: true })
    })

    const [stream, subject] = [() => `J${runs}`, () => `j${runs}`]

    /** The stream's next owner. */
    async function open(options: Partial<JournalStoreOptions> = {}, connection = nats) {
      await ensureJournal(nats, systemClock, { stream: stream(), subject: subject(), replicas: 1 })
      const where = { nats: connection, clock: systemClock, stream: stream(), subject: subject() }
      const journal = new Journal(where)
      const epoch = opened.length + 1
      const place = { directory: join(directory, `s${epoch}`), stream: stream(), clock: systemClock }
      const taken = (await takeOver({ journal, epoch, ...place }))!
      let lost: Error | undefined
      const limits = { pendingBytesMax: 1 << 20, recordBytesMax: 500, compactBytesMin: 1 << 20 }
      const tell = (error: Error) => {
        lost = error
      }
      const store = new JournalStore({ ...taken, journal, ...limits, lost: tell, ...options })
      opened.push(store)
      return { store, journal, lost: () => lost }
    }

    const rowsOf = (store: JournalStore) =>
      tables.flatMap((name) =>
        [...store.range(name)]
          .filter(({ key }) => key !== "owner")
          .map(({ key, value }) => [name, key, Buffer.from(value).toString("hex")]),
      )

    test("is after any writes and takeovers what was written, and its journal stays small", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(write, { maxLength: 12 }), { minLength: 1, maxLength: 60 }),
          async (calls) => {
            runs++
            opened = []
            const model = new Map<string, readonly [string, string, string]>()
            let { store, journal } = await open({ compactBytesMin: 3_000 })
            for (const [i, writes] of calls.entries()) {
              const written = store.write(writes)
              for (const { table, key, value } of writes) {
                if (value === undefined) model.delete(`${table} ${key}`)
                else model.set(`${table} ${key}`, [table, key, Buffer.from(value).toString("hex")])
              }
              if (i % 3 === 0) await written
              if (i % 20 === 19) {
                await store.flushed()
                ;({ store, journal } = await open({ compactBytesMin: 3_000 }))
              }
            }
            await store.flushed()
            const order = (rows: readonly (readonly string[])[]) => rows.map(String).sort()
            expect(order(rowsOf(store))).toEqual(order([...model.values()]))
            const { bytes } = await journal.state()
            const live = rowsOf(store).reduce((sum, [, key, value]) => sum + key!.length + value!.length / 2 + 10, 0)
            expect(bytes).toBeLessThan(3 * live + 3_000 + 5_000)
            await Promise.all(opened.map((each) => each.close()))
          },
        ),
        { numRuns: 15 },
      )
    })

    test("groups what is written while a message is on its way", async () => {
      const { store, journal } = await open({ recordBytesMax: 100_000 })
      const before = journal.last
      const puts = Array.from({ length: 1_000 }, (_, i) => store.write([put(`k${i}`)]))
      await Promise.all(puts)
      expect(journal.last - before).toBeLessThan(20)
      expect(rowsOf(store)).toHaveLength(1_000)
    })

    test("takes nothing once somebody else has taken over, who has all that was taken", async () => {
      const first = await open()
      await first.store.write([put("a")])
      const second = await open()
      await expect(first.store.write([put("b")])).rejects.toThrow(JournalLostError)
      expect(first.lost()).toBeInstanceOf(JournalLostError)
      await expect(first.store.write([])).rejects.toThrow(JournalLostError)
      await second.store.write([put("c")])
      expect(keysOf(second.store)).toEqual(["a", "c"])
    })

    test("does not take over from a later holder of the assignment, who goes on", async () => {
      const { store } = await open({})
      await store.write([put("a")])
      opened.push(store)
      const later = await open()
      const journal = new Journal({ nats, clock: systemClock, stream: stream(), subject: subject() })
      const place = { directory: join(directory, "stale"), stream: stream(), clock: systemClock }
      const stale = takeOver({ journal, epoch: 2, ...place })
      expect(await stale).toBeUndefined()
      // It was put off by the attempt, and takes its turn again.
      await expect(later.store.write([put("b")])).rejects.toThrow(JournalLostError)
      expect(keysOf((await open()).store)).toEqual(["a"])
    })

    test("voids what an owner began to write and did not end", async () => {
      const { store, journal } = await open()
      await store.write([put("a")])
      const bytes = encodeWrites([put("b"), put("c")])
      await journal.append(encodeRecord([bytes.subarray(0, 10)], { more: true, begins: false }))
      const second = await open()
      await second.store.write([put("d")])
      expect(keysOf(second.store)).toEqual(["a", "d"])
      expect(keysOf((await open()).store)).toEqual(["a", "d"])
    })

    test("is taken over whole though its old messages are dropped meanwhile", async () => {
      const { store, journal } = await open({ recordBytesMax: 45 })
      const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
      await Promise.all(keys.map((key) => store.write([put(key)])))
      await Promise.all(keys.map((key) => store.write([{ table: "deliveries", key, value: undefined }])))
      await store.write([put("last")])
      // In the midst of the deletions.
      const upTo = journal.last - 20
      let reads = 0
      const evil = new Proxy(nats, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name)
          if (name !== "publish") return typeof member === "function" ? member.bind(target) : member
          return (asked: string, ...rest: [never, never]) => {
            const send = () => target.publish(asked, ...rest)
            if (!asked.startsWith("$JS.API.DIRECT.GET") || ++reads !== 2) return send()
            void target.request(`$JS.API.STREAM.PURGE.${stream()}`, JSON.stringify({ seq: upTo })).then(send)
          }
        },
      })
      const second = await open({}, evil)
      expect(reads).toBeGreaterThan(2)
      expect(keysOf(second.store)).toEqual(["last"])
    })

    test("stores what is answered by nobody once, whether it had arrived or not", async () => {
      const faults: ("before" | "after")[] = []
      const evil = new Proxy(nats, {
        get(target, name) {
          if (name !== "request") return Reflect.get(target, name).bind?.(target) ?? Reflect.get(target, name)
          return async (asked: string, ...rest: [never, never]) => {
            const fault = asked === subject() ? faults.shift() : undefined
            if (fault === "before") throw new TimeoutError()
            const answer = await target.request(asked, ...rest)
            if (fault === "after") throw new TimeoutError()
            return answer
          }
        },
      })
      const { store, journal } = await open({}, evil)
      for (const pattern of [["after"], ["before"], ["before", "after"], ["after", "after", "before"]] as const) {
        const before = journal.last
        faults.push(...pattern)
        await store.write([put(pattern.join())])
        expect(journal.last).toBe(before + 1)
        expect((await journal.state()).last).toBe(before + 1)
      }
      expect(keysOf(store)).toEqual(keysOf((await open()).store))
    })

    test("refuses what is more than may wait, and keeps the rest over a restart of the server", async () => {
      const { store } = await open({ pendingBytesMax: 4_000 })
      await store.write([put("a")])
      await server.servers[0]!.kill()
      const calls = Array.from({ length: 50 }, (_, i) => store.write([put(`b${i}`)]))
      const ends = Promise.allSettled(calls)
      await server.servers[0]!.start()
      const kept = (await ends).flatMap((end, i) => (end.status === "fulfilled" ? [`b${i}`] : []))
      expect(kept.length).toBeGreaterThan(10)
      expect(kept.length).toBeLessThan(50)
      const refused = (await ends).find((end) => end.status === "rejected")
      expect((refused as PromiseRejectedResult).reason).toBeInstanceOf(OverloadError)
      expect(keysOf((await open()).store)).toEqual(["a", ...kept].sort())
    })
  })
}

const put = (key: string): Write => ({ table: "deliveries", key, value: Buffer.alloc(30, key) })
const keysOf = (store: JournalStore) => [...store.range("deliveries")].map(({ key }) => key)
