import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Event } from "../core/event.ts"
import { stringFault } from "./attributes.ts"
import { BinaryDecoder, encodeBinary, isAttributeHeader } from "./http-binding.ts"
import { InvalidEvent } from "./invalid-event.ts"
import { contentMode, parseMediaType } from "./media-type.ts"
import { percentDecode, percentEncode } from "./percent.ts"

const decoder = new BinaryDecoder()
const required = ["ce-specversion", "1.0", "ce-id", "1", "ce-source", "/a", "ce-type", "t"]

function decode(headers: readonly string[], type?: string, body: string | Buffer = ""): Event | InvalidEvent {
  return decoder.decode(headers, type === undefined ? undefined : parseMediaType(type), Buffer.from(body as string))
}

function decoded(...input: Parameters<typeof decode>): Event {
  const event = decode(...input)
  if (event instanceof InvalidEvent) throw new Error(`${event.detail} ${JSON.stringify(event.faults)}`)
  return event
}

function faults(...input: Parameters<typeof decode>) {
  const event = decode(...input)
  if (event instanceof Event) throw new Error("was taken as valid")
  return event.faults.map((fault) => fault.field)
}

describe("percent-coding", () => {
  it.each([
    ["Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"],
    ['a"b%c', "a%22b%25c"],
    ["\u007f\u0080", "%7F%C2%80"],
    ["!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"],
  ])("writes %j as %s", (text, value) => {
    expect(percentEncode(text)).toBe(value)
    expect(percentDecode(value)).toBe(text)
  })

  it.each([
    ["%e2%82%ac", "€"],
    ["%41%2D", "A-"],
    ["a b", "a b"],
    ['"a \\"b\\" %C3%A9"', 'a "b" é'],
    ['"a\\\\b"', "a\\b"],
    ["%2541", "%41"],
    ['"', '"'],
    ['"a"b"', '"a"b"'],
    ['""', ""],
  ])("reads %j as %j", (value, text) => expect(percentDecode(value)).toBe(text))

  it.each(["%C0%A0", "%ED%A0%80", "%F5%80%80%80", "%E2%82", "%80", "%", "%4", "%zz", "a%", "\u00e9", "a\u0001"])(
    "refuses %j",
    (value) => expect(percentDecode(value)).toBeUndefined(),
  )

  it("gives back any text, in printable ASCII between", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        fc.pre(!/\p{Cs}/u.test(text))
        expect(percentEncode(text)).toMatch(/^[\x21-\x7e]*$/)
        expect(percentDecode(percentEncode(text))).toBe(text)
      }),
    )
  })
})

describe("decoding the binary mode", () => {
  it("takes attributes from headers and leaves the body alone", () => {
    const body = Buffer.from('{"a" : 1}')
    const headers = [
      "Host",
      "x",
      "CE-SpecVersion",
      "1.0",
      "ce-Id",
      "1",
      "ce-source",
      "/a",
      "Ce-Type",
      "t",
      "ce-subject",
      "%C3%A9",
      "ce-count",
      "5",
    ]
    const event = decoder.decode(headers, parseMediaType("application/json"), body) as Event
    expect(event.attributes).toEqual({
      specversion: "1.0",
      id: "1",
      source: "/a",
      type: "t",
      subject: "é",
      count: "5",
      datacontenttype: "application/json",
    })
    expect(event.data).toBe(body)
    expect(event.dataKind).toBe("json")
    expect([event.id, event.source]).toEqual(["1", "/a"])
  })

  it.each([
    ["application/json", '{"a":1}', "json"],
    ["application/json", '{"a":}', "binary"],
    ["application/x+json; charset=utf-8", "1", "json"],
    ["text/plain", "é", "text"],
    ["text/html; charset=UTF-8", "é", "text"],
    ["text/plain; charset=latin1", "e", "binary"],
    ["text/plain", Buffer.from([0xff]), "binary"],
    ["application/json", Buffer.from('"\xff"', "latin1"), "binary"],
    ["application/xml", "<a/>", "binary"],
    [undefined, "{}", "binary"],
    ["application/json", "", "none"],
  ])("reads a body of %s, %j, as %s", (type, body, kind) => {
    const event = decoded(required, type, body)
    expect(event.dataKind).toBe(kind)
    expect(event.data === undefined).toBe(kind === "none")
  })

  it("refuses JSON that nests deeper than 128 levels, and takes it under another type", () => {
    const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
    expect(decoded(required, "application/json", nested(128)).dataKind).toBe("json")
    expect(decoded(required, "text/plain", nested(129)).dataKind).toBe("text")
    for (const levels of [129, 100_000]) {
      expect(decode(required, "application/json", nested(levels))).toMatchObject({
        faults: [{ field: "data", message: expect.stringContaining("is nested deeper than 128 levels; nest it less") }],
      })
    }
  })

  it("drops what the hub itself adds", () => {
    expect(Object.keys(decoded([...required, "ce-redcarcursor", "1", "ce-redcartime", "x"]).attributes)).toHaveLength(4)
  })

  it("names every wrong header at once", () => {
    expect(faults([])).toEqual(["specversion", "id", "source", "type"])
    expect(
      faults(
        [
          "ce-specversion",
          "1.1",
          "ce-id",
          "1",
          "ce-id",
          "2",
          "ce-source",
          "a b",
          "ce-a_b",
          "x",
          "ce-data",
          "x",
          "ce-",
          "x",
          "ce-x",
          "%C0%A0",
          "ce-time",
          "x",
        ],
        "json",
      ),
    ).toEqual(["specversion", "id", "source", "a_b", "data", "", "x", "time", "datacontenttype", "type"])
  })

  it("takes the content type from Content-Type only", () => {
    expect(faults([...required, "ce-datacontenttype", "text/plain"])).toEqual(["datacontenttype"])
  })

  it("refuses control characters that percent-coding brings in", () => {
    expect(faults([...required, "ce-subject", "a%0Ab"])).toEqual(["subject"])
  })

  it("has a limit on attributes", () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => [`ce-x${i}`, "1"]).flat()
    expect(decode([...required, ...many(252)])).toBeInstanceOf(Event)
    expect(faults([...required, ...many(300)])).toEqual([""])
  })

  it("knows an attribute's header", () => {
    expect(["ce-id", "CE-x", "cE-"].every(isAttributeHeader)).toBe(true)
    expect(["ce", "cf-id", "x-ce-id", "", "ce_id"].some(isAttributeHeader)).toBe(false)
  })
})

describe("encoding the binary mode", () => {
  it("gives back any valid event", () => {
    const text = fc.string({ unit: "binary", minLength: 1 }).filter((value) => stringFault(value) === undefined)
    const attributes = fc.record(
      {
        specversion: fc.constant("1.0"),
        id: text,
        source: fc.webPath().map((path) => `/a${path}`),
        type: text,
        subject: text,
        time: fc.constant("2026-01-31T12:00:00Z"),
        datacontenttype: fc.constantFrom("application/json", "text/plain", "application/octet-stream"),
        ext: fc.oneof(text, fc.integer({ min: -1000, max: 1000 }), fc.boolean()),
      },
      { requiredKeys: ["specversion", "id", "source", "type"] },
    )
    fc.assert(
      fc.property(attributes, fc.uint8Array({ minLength: 1 }), (attributes, data) => {
        const event = Event.of(attributes as Record<string, string>, data)
        const { headers, body } = encodeBinary(event)
        const type = headers[headers.indexOf("content-type") + 1]
        const again = decoded(headers, headers.includes("content-type") ? type : undefined, Buffer.from(body!))
        const texts = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, String(value)]))
        expect(again.attributes).toEqual(texts)
        expect(Buffer.from(again.data!).equals(data)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it("names the content type that the JSON format leaves out", () => {
    const attributes = { specversion: "1.0", id: "1", source: "/a", type: "t" }
    expect(encodeBinary(Event.of(attributes, Buffer.from("{}"), "json")).headers.slice(-2)).toEqual([
      "content-type",
      "application/json",
    ])
    expect(encodeBinary(Event.of(attributes, Buffer.from("{}"), "binary")).headers).not.toContain("content-type")
    expect(encodeBinary(Event.of(attributes))).toEqual({ headers: required, body: undefined })
  })
})

describe("the content mode", () => {
  it.each([
    ["application/cloudevents+json", "structured"],
    ["Application/CloudEvents+JSON; charset=UTF-8", "structured"],
    ["application/cloudevents+json;charset=utf-16", "unsupported"],
    ["application/cloudevents+xml", "unsupported"],
    ["application/cloudevents", "unsupported"],
    ["application/cloudevents-batch+json", "batch"],
    ["application/cloudevents-batch+avro", "unsupported"],
    ["application/x-ndjson", "ndjson"],
    ["application/ndjson; charset=utf-8", "ndjson"],
    ["application/json", "binary"],
    ["", "binary"],
    ["nonsense", "binary"],
  ])("of %s is %s", (type, mode) => expect(contentMode(parseMediaType(type))).toBe(mode))

  it("of nothing is binary", () => expect(contentMode(undefined)).toBe("binary"))
})
