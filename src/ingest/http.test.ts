import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import type { StoredEvent } from "../core/log.ts"
import { type Fixture, openFixture } from "./fixture.ts"

const structured = { "content-type": "application/cloudevents+json" }
const batch = { "content-type": "application/cloudevents-batch+json" }
const lines = { "content-type": "application/x-ndjson" }
const binary = { "ce-specversion": "1.0", "ce-id": "b1", "ce-source": "/b", "ce-type": "t" }

function event(id: string, more: object = {}) {
  return { specversion: "1.0", id, source: "/shop", type: "order.created", ...more }
}

function text(stored: StoredEvent | undefined) {
  const { event } = stored!
  return [event.dataKind, event.data === undefined ? undefined : Buffer.from(event.data).toString()]
}

describe.each([
  ["straight from the connection", false],
  ["through node:http", true],
])("%s", (_, nodeOnly) => {
  let hub: Fixture
  beforeAll(async () => {
    hub = await openFixture({ nodeOnly, limits: { batchEventsMax: 5, eventBytesMax: 10_000, bodyBytesMax: 100_000 } })
  })
  afterAll(() => hub.close())

  describe("one structured event", () => {
    it("is stored as it came, and answered with its cursor", async () => {
      const data = '{"total" : 1.50,\n"note":"\\u00e9"}'
      const sent = `${JSON.stringify(event("1", { subject: "größe", count: 5, ok: true })).slice(0, -1)},"data":${data}}`
      const { status, headers, body } = await hub.post("one", structured, sent)
      expect(status).toBe(202)
      expect(headers["content-type"]).toBe("application/json")
      expect(body).toEqual({ id: "1", cursor: expect.any(String) })
      const [stored, ...more] = await hub.stored("one")
      expect(more).toEqual([])
      expect(stored!.cursor).toBe(body.cursor)
      expect(stored!.event.attributes).toEqual(event("1", { subject: "größe", count: 5, ok: true }))
      expect(text(stored)).toEqual(["json", data])
    })

    it("is recognised when it comes again", async () => {
      const first = await hub.post("twice", structured, JSON.stringify(event("1")))
      const again = await hub.post("twice", structured, JSON.stringify(event("1", { data: "other" })))
      expect(again).toMatchObject({ status: 202, body: { ...first.body, duplicate: true } })
      expect(await hub.stored("twice")).toHaveLength(1)
    })

    it("may be what was read before", async () => {
      const read = event("1", { redcarcursor: "00", redcartime: "2026-01-31T00:00:00.000Z" })
      expect((await hub.post("again", structured, JSON.stringify(read))).status).toBe(202)
      expect((await hub.stored("again"))[0]!.event.attributes).toEqual(event("1"))
    })

    it("is refused with every wrong field", async () => {
      const { status, headers, body } = await hub.post(
        "none",
        structured,
        '{"id":"","source":"a b","specversion":"1.0"}',
      )
      expect(status).toBe(400)
      expect(headers["content-type"]).toBe("application/problem+json")
      expect(body).toEqual({
        type: "about:blank",
        title: "Bad Request",
        status: 400,
        code: "invalid-argument",
        detail: "not a valid event: 3 fields are wrong",
        errors: [
          { field: "id", message: "must not be empty" },
          { field: "source", message: expect.stringContaining("URI-reference") },
          { field: "type", message: "is required" },
        ],
      })
      expect(hub.topics.get("default", "none")).toBeUndefined()
    })

    it("is refused when it is no JSON", async () => {
      expect(await hub.post("none", structured, '{"id":')).toMatchObject({
        status: 400,
        body: { detail: "not a JSON event: the JSON text ends early at byte 6" },
      })
      expect((await hub.post("none", structured)).status).toBe(400)
    })
  })

  describe("an event in headers", () => {
    it("is stored with its body untouched", async () => {
      const headers = { ...binary, "CE-Subject": "Euro%20%E2%82%AC%20%F0%9F%98%80", "content-type": "application/json" }
      const { status, body } = await hub.post("binary", headers, '{"a" : 1}')
      expect([status, body.id]).toEqual([202, "b1"])
      const [stored] = await hub.stored("binary")
      expect(stored!.event.attributes).toEqual({
        specversion: "1.0",
        id: "b1",
        source: "/b",
        type: "t",
        subject: "Euro € 😀",
        datacontenttype: "application/json",
      })
      expect(text(stored)).toEqual(["json", '{"a" : 1}'])
    })

    it("needs all its headers", async () => {
      const { status, body } = await hub.post("none", { "ce-id": "1", "ce-subject": "%C0%A0" }, "x")
      expect(status).toBe(400)
      expect(body.errors.map(({ field }: { field: string }) => field)).toEqual([
        "subject",
        "specversion",
        "source",
        "type",
      ])
    })
  })

  describe("raw input", () => {
    it.each([
      ["application/json", '{"a":1}', "json"],
      ["text/plain; charset=utf-8", "größe", "text"],
      ["application/octet-stream", "\u0000\u0001", "binary"],
      ["application/json", "{broken", "binary"],
      [undefined, "anything", "binary"],
    ])("of %s, %j, becomes an event of %s data", async (type, body, kind) => {
      const answer = await hub.post("raw", type === undefined ? {} : { "content-type": type }, Buffer.from(body))
      expect(answer.status).toBe(202)
      const stored = (await hub.stored("raw")).at(-1)!
      expect(stored.event.attributes).toEqual({
        specversion: "1.0",
        id: answer.body.id,
        source: "/topics/raw",
        type: "redcar.raw",
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        datacontenttype: type ?? "application/octet-stream",
      })
      expect(text(stored)).toEqual([kind, body])
    })

    it("of JSON that nests too deep is refused in every mode, with the field", async () => {
      const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
      const json = (levels: number) =>
        `{"specversion":"1.0","id":"${levels}","source":"/a","type":"t","data":${nested(levels)}}`
      const modes: readonly (readonly [Record<string, string>, (levels: number) => string])[] = [
        [{ "content-type": "application/json" }, nested],
        [
          {
            "content-type": "application/json",
            "ce-id": "1",
            "ce-source": "/a",
            "ce-type": "t",
            "ce-specversion": "1.0",
          },
          nested,
        ],
        [{ "content-type": "application/cloudevents+json" }, json],
        [{ "content-type": "application/cloudevents-batch+json" }, (levels) => `[${json(levels)}]`],
      ]
      for (const [at, [headers, body]] of modes.entries()) {
        expect((await hub.post(`deep${at}`, headers, body(128))).status).toBeLessThan(300)
        const refused = await hub.post(`deep${at}`, headers, body(129))
        expect([refused.status, JSON.stringify(refused.body)]).toEqual([
          400,
          expect.stringContaining("nested deeper than 128 levels"),
        ])
        expect((await hub.stored(`deep${at}`)).length).toBe(1)
      }
      const lines = await hub.post(
        "deeplines",
        { "content-type": "application/x-ndjson" },
        `${json(128)}\n${json(129)}\n`,
      )
      expect(JSON.stringify(lines.body)).toContain("nested deeper than 128 levels")
      expect((await hub.stored("deeplines")).length).toBe(1)
    })

    it("may be empty", async () => {
      expect((await hub.post("rawempty", {})).status).toBe(202)
      expect(text((await hub.stored("rawempty"))[0])).toEqual(["none", undefined])
    })

    it("takes its source and type from the topic", async () => {
      await hub.post("wrapped", {}, "first")
      const key = "topic/default/wrapped"
      const item = (await hub.engine.catalog.get<object>(key))!
      await hub.engine.catalog.put(key, { ...item.value, wrap: { source: "urn:mine", type: "mine" } }, item.revision)
      await vi.waitFor(() => expect(hub.topics.get("default", "wrapped")?.wrap.type).toBe("mine"), { interval: 1 })
      await hub.post("wrapped", {}, "second")
      const sources = (await hub.stored("wrapped")).map(({ event }) => [event.source, event.type])
      expect(sources).toEqual([
        ["/topics/wrapped", "redcar.raw"],
        ["urn:mine", "mine"],
      ])
    })

    it("needs a content type that is one", async () => {
      expect((await hub.post("none", { "content-type": "what ever" }, "x")).status).toBe(400)
    })
  })

  describe("a batch", () => {
    it("is answered event by event, the valid ones stored in order", async () => {
      const events = [event("1"), { id: "2" }, event("3", { data: [1] }), 4, event("1")]
      const { status, body } = await hub.post("batch", batch, JSON.stringify(events))
      expect(status).toBe(207)
      const stored = await hub.stored("batch")
      expect(stored.map(({ event }) => event.id)).toEqual(["1", "3"])
      expect(body).toEqual({
        accepted: 3,
        rejected: 2,
        results: [
          { id: "1", cursor: stored[0]!.cursor },
          {
            index: 1,
            id: "2",
            error: {
              code: "invalid-argument",
              detail: "not a valid event: 3 fields are wrong",
              errors: expect.any(Array),
            },
          },
          { id: "3", cursor: stored[1]!.cursor },
          { index: 3, error: { code: "invalid-argument", detail: "not a JSON object" } },
          { id: "1", cursor: stored[0]!.cursor, duplicate: true },
        ],
      })
      expect(body.results[1].error.errors.map(({ field }: { field: string }) => field)).toEqual([
        "specversion",
        "source",
        "type",
      ])
    })

    it("is 202 when all is well, also when it is empty", async () => {
      expect(await hub.post("batch", batch, JSON.stringify([event("7"), event("8")]))).toMatchObject({
        status: 202,
        body: { accepted: 2, rejected: 0, results: [{ id: "7" }, { id: "8" }] },
      })
      expect(await hub.post("batch", batch, "[]")).toMatchObject({
        status: 202,
        body: { accepted: 0, rejected: 0, results: [] },
      })
    })

    it("is 400 when nothing is valid", async () => {
      const { status, headers, body } = await hub.post("none", batch, '[{"id":"1"},2]')
      expect([status, headers["content-type"]]).toEqual([400, "application/problem+json"])
      expect(body).toMatchObject({ code: "invalid-argument", results: [{ index: 0, id: "1" }, { index: 1 }] })
    })

    it("stores nothing when its JSON is broken", async () => {
      const broken = `[${JSON.stringify(event("1"))},{]`
      expect(await hub.post("none", batch, broken)).toMatchObject({ status: 400, body: { code: "invalid-argument" } })
      expect(await hub.stored("none")).toEqual([])
    })

    it("has limits", async () => {
      const six = JSON.stringify([1, 2, 3, 4, 5, 6])
      expect(await hub.post("none", batch, six)).toMatchObject({
        status: 413,
        body: { code: "too-large", detail: expect.stringContaining("limits.batchEventsMax") },
      })
      expect((await hub.post("none", batch, " ".repeat(100_001))).status).toBe(413)
      const large = event("2", { data: "x".repeat(10_000) })
      expect(await hub.post("part", batch, JSON.stringify([event("1"), large]))).toMatchObject({
        status: 207,
        body: { results: [{ id: "1" }, { index: 1, id: "2", error: { code: "too-large" } }] },
      })
    })
  })

  describe("lines", () => {
    it("are events, blank ones none, the last one with or without its end", async () => {
      const body = `\n${JSON.stringify(event("1"))}\r\n\n  \n{"id":"2"}\nnonsense\n${JSON.stringify(event("3"))}`
      const answer = await hub.post("lines", lines, body)
      expect(answer).toMatchObject({
        status: 207,
        body: {
          accepted: 2,
          rejected: 2,
          results: [
            { id: "1" },
            {
              index: 1,
              id: "2",
              error: { errors: [{ field: "specversion" }, { field: "source" }, { field: "type" }] },
            },
            { index: 2, error: { detail: "not a JSON event: not a JSON object at byte 0" } },
            { id: "3" },
          ],
        },
      })
      expect((await hub.stored("lines")).map(({ event }) => event.id)).toEqual(["1", "3"])
    })

    it("may be none", async () => {
      expect(await hub.post("lines", lines, "\n\n")).toMatchObject({ status: 202, body: { accepted: 0, results: [] } })
      expect((await hub.post("lines", lines)).status).toBe(202)
    })

    it("that are too long are named, and the others stored", async () => {
      const long = (bytes: number) => JSON.stringify(event(String(bytes), { data: "x".repeat(bytes) }))
      const body = [long(10_000), JSON.stringify(event("1")), long(30_000), JSON.stringify(event("2"))].join("\n")
      expect(await hub.post("longlines", lines, body)).toMatchObject({
        status: 207,
        body: {
          accepted: 2,
          rejected: 2,
          results: [
            { index: 0, id: "10000", error: { code: "too-large" } },
            { id: "1" },
            { index: 2, error: { code: "too-large" } },
            { id: "2" },
          ],
        },
      })
    })

    it("by the thousand keep their order, wherever their chunks are cut", async () => {
      const all = Buffer.from(
        Array.from({ length: 5_000 }, (_, i) => `${JSON.stringify(event(`e${i}`, { data: i }))}\n`).join(""),
      )
      async function* chunks() {
        for (let at = 0; at < all.length; at += 7_919) yield all.subarray(at, at + 7_919)
      }
      const { status, body } = await hub.post("thousands", lines, chunks())
      expect([status, body.accepted, body.rejected]).toEqual([202, 5_000, 0])
      const ids = Array.from({ length: 5_000 }, (_, i) => `e${i}`)
      expect(body.results.map(({ id }: { id: string }) => id)).toEqual(ids)
      const stored = await hub.stored("thousands")
      expect(stored.map(({ event }) => event.id)).toEqual(ids)
      expect(stored.map(({ cursor }) => cursor)).toEqual(body.results.map(({ cursor }: { cursor: string }) => cursor))
    })
  })

  describe("the address", () => {
    it("may name a key, percent-coded or not", async () => {
      expect((await hub.post("keyed:a", structured, JSON.stringify(event("1")))).status).toBe(202)
      expect((await hub.post("keyed%3Aa%2Fb", structured, JSON.stringify(event("2")))).status).toBe(202)
      expect((await hub.stored("keyed")).map(({ event }) => event.id)).toEqual(["1", "2"])
      expect((await hub.stored("keyed", "a/b")).map(({ event }) => event.id)).toEqual(["2"])
    })

    it.each([
      ["Upper", 400],
      ["a%20b", 400],
      ["%zz", 400],
      ["a:", 400],
      ["redcar.attempts", 403],
      ["redcar.dead-letters", 403],
      ["redcar.other", 400],
    ])("%s is answered %i", async (topic, status) => {
      expect((await hub.post(topic, structured, JSON.stringify(event("1")))).status).toBe(status)
    })

    it("is looked at in POSTs to a topic's events only", () => {
      const handles = (method: string, url: string) => hub.ingest.handles({ method, url } as never)
      expect(handles("POST", "/v1/topics/a/events")).toBe(true)
      expect(handles("POST", "/v1/topics/a:b/events?x=1")).toBe(true)
      const others = [
        "/v1/topics/a/events/",
        "/v1/topics//events",
        "/v1/topics/events",
        "/v1/topics/a/b/events",
        "/v1/topics/a",
        "/",
      ]
      for (const url of others) expect(handles("POST", url), url).toBe(false)
      expect(handles("GET", "/v1/topics/a/events")).toBe(false)
    })
  })

  describe("what is refused by its head", () => {
    it.each([
      [{ authorization: "Bearer bad" }, 401],
      [{ authorization: "" }, 401],
      [{ "content-type": "application/cloudevents+xml" }, 415],
      [{ "content-type": "application/cloudevents+json; charset=utf-16" }, 415],
      [{ "content-type": "application/cloudevents-batch+protobuf" }, 415],
      [{ ...structured, "content-encoding": "gzip" }, 415],
      [{ ...structured, "content-encoding": "Identity" }, 202],
    ])("%j is answered %i", async (headers, status) => {
      const answer = await hub.post("head", headers as Record<string, string>, JSON.stringify(event("1")))
      expect(answer.status).toBe(status)
      if (status === 401) expect(answer.headers["www-authenticate"]).toBe("Bearer")
      if (status >= 400) expect(answer.body).toMatchObject({ status, detail: expect.any(String) })
    })

    it("has a limit for one event, said beforehand or not", async () => {
      const body = JSON.stringify(event("1", { data: "x".repeat(20_000) }))
      async function* unsaid() {
        yield body.slice(0, 9_000)
        yield body.slice(9_000)
      }
      for (const sent of [body, unsaid()]) {
        expect(await hub.post("large", structured, sent)).toMatchObject({
          status: 413,
          body: { detail: "an event may have 10000 bytes at most (limits.eventBytesMax)" },
        })
      }
      expect((await hub.post("large", binary, "x".repeat(10_001))).status).toBe(413)
      expect((await hub.post("large", binary, "x".repeat(9_990))).status).toBe(413)
      expect((await hub.post("large", binary, "x".repeat(9_900))).status).toBe(202)
      // Escapes and base64 do not count: what was stored in one way can be published in the other.
      const escaped = JSON.stringify(event("2", { datacontenttype: "text/plain", data: "\n".repeat(9_800) }))
      expect((await hub.post("large", structured, escaped)).status).toBe(202)
    })
  })

  describe("with redcar-expected-last", () => {
    const expecting = (last: string) => ({ ...structured, "redcar-expected-last": last })
    const send = (topic: string, last: string, id: string) =>
      hub.post(topic, expecting(last), JSON.stringify(event(id)))

    it("an event is stored only after the one that is named", async () => {
      const first = await send("es:1", "none", "1")
      expect(first.status).toBe(202)
      const second = await send("es:1", first.body.cursor, "2")
      expect(second.status).toBe(202)
      expect((await send("es:2", "none", "3")).status).toBe(202)
      for (const last of ["none", first.body.cursor]) {
        expect(await send("es:1", last, "4")).toMatchObject({
          status: 409,
          body: { code: "conflict", last: second.body.cursor },
        })
      }
      expect(await send("es:3", first.body.cursor, "4")).toMatchObject({ status: 409, body: { last: null } })
      expect((await hub.stored("es")).map(({ event }) => event.id)).toEqual(["1", "2", "3"])
    })

    it.each(["zzz!", "", "none, none"])("%j is no cursor, and the header is named", async (last) => {
      expect(await send("es:4", last, "5")).toMatchObject({
        status: 400,
        body: {
          code: "invalid-argument",
          errors: [{ field: "redcar-expected-last", message: "must be a cursor, or none" }],
        },
      })
    })

    it.each([
      ["a batch", { ...batch }, (events: unknown[]) => JSON.stringify(events)],
      ["lines", { ...lines }, (events: unknown[]) => events.map((one) => JSON.stringify(one)).join("\n")],
    ])("%s is stored whole or not at all", async (name, type, write) => {
      const topic = `whole-${name.replace(" ", "-")}`
      const headers = { ...type, "redcar-expected-last": "none" }
      const bad = await hub.post(topic, headers, write([event("1"), { id: "x" }, event("2")]))
      expect(bad).toMatchObject({ status: 400, body: { results: [{ index: 0, id: "1" }, { index: 1 }, { index: 2 }] } })
      const large = event("2", { data: "x".repeat(10_000) })
      expect((await hub.post(topic, headers, write([event("1"), large]))).status).toBe(413)
      expect(await hub.stored(topic)).toEqual([])
      const good = await hub.post(topic, headers, write([event("1"), event("2")]))
      expect(good).toMatchObject({ status: 202, body: { accepted: 2 } })
      const late = await hub.post(topic, headers, write([event("3"), event("4")]))
      expect(late).toMatchObject({
        status: 409,
        body: { code: "conflict", last: good.body.results[1].cursor, results: [{ index: 0 }, { index: 1 }] },
      })
      expect(await hub.stored(topic)).toHaveLength(2)
    })

    it("lines are at most one piece", async () => {
      const body = Array.from({ length: 1_001 }, (_, i) => JSON.stringify(event(`e${i}`))).join("\n")
      const answer = await hub.post("onepiece", { ...lines, "redcar-expected-last": "none" }, body)
      expect(answer).toMatchObject({ status: 413, body: { code: "too-large" } })
      expect(answer.body.results).toHaveLength(1_001)
      expect(await hub.stored("onepiece")).toEqual([])
    })
  })
})
