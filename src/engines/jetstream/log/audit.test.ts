import { headers } from "@nats-io/nats-core"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { UnavailableError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { append, event, events, key, orders, users } from "../../conformance/log-fixture.ts"
import { silentLog } from "../log.fixture.ts"
import { createNames } from "../names.ts"
import { auditPartition } from "./audit.ts"
import { type MissingNumbers, WriterNumbers } from "./audit-writers.ts"
import { formatCursor } from "./cursor.ts"
import { type OpenLog, openLog } from "./log-harness.fixture.ts"

describe.skipIf(natsAvailable() === undefined)("audits of a partition", () => {
  let nats: Nats
  let named = 0
  let opened: OpenLog
  beforeAll(async () => {
    nats = await startNats()
  })
  afterAll(() => nats.stop())
  afterEach(() => opened.close())

  const open = async () => {
    opened = await openLog(nats, { prefix: `a${++named}` })
    return opened.log
  }
  const audit = () =>
    auditPartition({
      nats: opened.nats,
      names: createNames(`a${named}`),
      partition: 0,
      clock: systemClock,
      log: silentLog,
      progress() {},
      stop: new AbortController().signal,
    })
  const api = (subject: string, body: unknown) => opened.nats.request(`$JS.API.${subject}`, JSON.stringify(body))
  /** Stores a message's copy with other headers, or other data. */
  const forge = async (sequence: number, change: Record<string, string>, data?: string) => {
    const got = await opened.nats.request(`$JS.API.DIRECT.GET.A${named}_LOG_0`, JSON.stringify({ seq: sequence }))
    const sent = headers()
    for (const name of got.headers!.keys()) if (!name.startsWith("Nats-")) sent.set(name, got.headers!.get(name))
    for (const [name, value] of Object.entries(change)) sent.set(name, value)
    const answer = await opened.nats.request(`_a${named}.log.0.acme.orders`, data ?? got.data, {
      headers: sent,
      timeout: 2_000,
    })
    return answer.json<{ seq: number }>().seq
  }

  test("find nothing where all is well: duplicates, conditions and retention are not damage", async () => {
    const log = await open()
    for (let round = 0; round < 3; round++) await log.append(orders, events(50), { dedupeWindowMs: 60_000 })
    const last = await append(log, key("7"), event("a"))
    await expect(log.append(key("7"), [event("b")], { expectedLast: "none" })).rejects.toThrow()
    await log.append(key("7"), events(3, "c"), { expectedLast: last })
    await log.append(users, events(40))
    expect(await log.trim(orders, { eventsMax: 10 })).toBe(44)
    expect(await log.trim(users, { eventsMax: 30 })).toBe(10)
    const added = await log.append(orders, events(5, "d"))
    expect(await log.drop(orders, [added[1]!.cursor, added[3]!.cursor])).toBe(2)
    expect(await audit()).toMatchObject({ complete: true, messages: 43, dropped: 56, findings: [], findingsCount: 0 })
  })

  test("find a damaged event", async () => {
    const log = await open()
    await log.append(orders, [event("a", {}, Buffer.from("data"))])
    const sequence = await forge(1, { "redcar-writer": "other.1" }, "dada")
    const { findings } = await audit()
    expect(findings).toEqual([expect.objectContaining({ kind: "damaged", sequence, subject: `a${named}.acme.orders` })])
    expect(await log.append(orders, [event("b")])).toHaveLength(1)
    for await (const { events: seen } of log.read({})) expect(seen.map(({ event: one }) => one.id)).not.toContain("")
    expect(log.health()).toEqual([expect.stringContaining(`sequence ${sequence}`)])
  })

  test("find an event that is there twice", async () => {
    const log = await open()
    await log.append(orders, events(3))
    const sequence = await forge(2, {})
    expect((await audit()).findings).toEqual([expect.objectContaining({ kind: "duplicate", sequence })])
  })

  test("find what is gone from the stream, though retention dropped others", async () => {
    const log = await open()
    await log.append(orders, events(20))
    await log.append(users, events(5))
    await log.trim(orders, { eventsMax: 15 })
    await api(`STREAM.MSG.DELETE.A${named}_LOG_0`, { seq: 12 })
    await api(`STREAM.MSG.DELETE.A${named}_LOG_0`, { seq: 13 })
    const { findings } = await audit()
    expect(findings).toEqual([expect.objectContaining({ kind: "gap", from: 12, to: 13, count: 2 })])
    await log.trim(orders, { eventsMax: 1 })
    expect((await audit()).findings).toEqual([expect.objectContaining({ kind: "gap", count: 2 })])
  })

  test("an event that is asked for, and is gone though retention has not dropped it, is damage", async () => {
    const log = await open()
    const cursors = (await log.append(orders, events(5))).map(({ cursor }) => cursor)
    await log.trim(orders, { eventsMax: 4 })
    await api(`STREAM.MSG.DELETE.A${named}_LOG_0`, { seq: 3 })
    expect(await log.get(cursors[0]!, { of: orders })).toBeUndefined()
    expect(await log.get(cursors[2]!)).toBeUndefined()
    await expect(log.get(cursors[2]!, { of: orders })).rejects.toThrow(
      `A${named}_LOG_0, sequence 3: no message is there, and retention has not dropped it from acme/orders`,
    )
    expect(log.health()).toEqual([expect.stringContaining("sequence 3")])
    const beyond = formatCursor(0, 6)
    await expect(log.get(beyond, { of: orders })).rejects.toBeInstanceOf(UnavailableError)
  })

  test("find what a writer stored and the stream never had", async () => {
    await open()
    await opened.log.append(orders, [event("a")])
    const sequence = await forge(1, { "redcar-writer": "other.1" })
    await forge(1, { "redcar-writer": "other.5" })
    await forge(1, { "redcar-writer": "other.6" })
    expect((await audit()).findings).toEqual([
      { kind: "lost", writer: "other", from: 2, to: 4, count: 3, after: sequence, before: sequence + 1 },
    ])
  })
})

describe("a writer's numbers", () => {
  const missingOf = (
    numbers: readonly { readonly number: number; readonly voids?: string; readonly absent?: number }[],
  ) => {
    const found: MissingNumbers[] = []
    const writers = new WriterNumbers((missing) => found.push(missing))
    const isNew = numbers.map(({ number, voids, absent = 0 }, i) =>
      writers.add({ sequence: i + 1, writer: "w", number, voids, absent }),
    )
    writers.conclude()
    return { isNew, missing: found.map(({ from, to, count }) => [from, to, count]) }
  }

  test("may come late, be told void, or be dropped by retention", () => {
    expect(missingOf([{ number: 1 }, { number: 3 }, { number: 2 }, { number: 4 }]).missing).toEqual([])
    expect(missingOf([{ number: 1 }, { number: 9, voids: "2-4 6" }]).missing).toEqual([
      [5, 5, 1],
      [7, 8, 2],
    ])
    expect(missingOf([{ number: 1 }, { number: 6, absent: 3 }]).missing).toEqual([[2, 5, 1]])
    expect(missingOf([{ number: 1 }, { number: 5, absent: 3 }]).missing).toEqual([])
  })

  test("are there once", () => {
    expect(
      missingOf([{ number: 1 }, { number: 2 }, { number: 1 }, { number: 4 }, { number: 3 }, { number: 3 }]).isNew,
    ).toEqual([true, true, false, true, true, false])
  })
})
