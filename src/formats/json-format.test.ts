import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Event } from "../core/event.ts"
import type { StoredEvent } from "../core/log.ts"
import { attributeFaults } from "./attributes.ts"
import { InvalidEvent } from "./invalid-event.ts"
import { JsonDecoder } from "./json-decode.ts"
import { EventWriter, encodeEvent, quoteJson } from "./json-encode.ts"
import { jsonDepthMax } from "./json-scan.ts"
import { parseMediaType } from "./media-type.ts"

const decoder = new JsonDecoder()
const valid = { specversion: "1.0", id: "1", source: "/a", type: "t" }

function decode(envelope: unknown): Event | InvalidEvent {
  return decoder.decode(Buffer.from(typeof envelope === "string" ? envelope : JSON.stringify(envelope)))
}

function decoded(envelope: unknown): Event {
  const event = decode(envelope)
  if (event instanceof InvalidEvent) throw new Error(`${event.detail} ${JSON.stringify(event.faults)}`)
  return event
}

function refused(envelope: unknown): InvalidEvent {
  const event = decode(envelope)
  if (event instanceof Event) throw new Error("was taken as valid")
  return event
}

function fields(envelope: unknown): readonly string[] {
  return refused(envelope).faults.map((fault) => fault.field)
}

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString())

const attributeText = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ minLength: 1, unit: "binary" }),
  fc.constantFrom("a", "größer", "😀", 'q"\\/', "null"),
)
/** One of the first, or rarely one of the others, which are wrong. */
function mostly<A, B>(right: fc.Arbitrary<A>, wrong: fc.Arbitrary<B>): fc.Arbitrary<A | B> {
  return fc.oneof({ arbitrary: right, weight: 25 }, { arbitrary: wrong, weight: 1 })
}

const cleanText = attributeText.map((text) => text.replace(/[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/gu, "x"))
const anyAttributes = fc.record(
  {
    specversion: mostly(fc.constant("1.0"), fc.constantFrom("0.3", 1)),
    id: mostly(cleanText, attributeText),
    source: mostly(
      fc.webPath().map((path) => `/${path}`),
      fc.constantFrom("", "a b", "/é"),
    ),
    type: mostly(cleanText, fc.constantFrom("", null, 5, "\u0000")),
    subject: mostly(fc.oneof(cleanText, fc.constant(null)), fc.constantFrom("", "\ud800")),
    time: mostly(fc.constantFrom("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123+01:00", null), fc.constant("now")),
    datacontenttype: mostly(
      fc.constantFrom("application/json", "text/plain", "application/xml", "application/x+json", null),
      fc.constant("text"),
    ),
    dataschema: mostly(fc.constantFrom("https://a.example/s", "urn:a", null), fc.constant("/s")),
    ext1: mostly(
      fc.oneof(cleanText, fc.integer(), fc.boolean(), fc.constant(null)),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    ),
    ext2: mostly(fc.oneof(cleanText, fc.constant("")), fc.constantFrom([], {}, 2147483648, "\ufdd0")),
    redcarcursor: fc.constantFrom("0000", 5),
    redcartime: fc.constant("x"),
  },
  { requiredKeys: ["specversion", "id", "source", "type"] },
)
const anyData = fc.oneof(
  fc.record({ data: fc.oneof(fc.jsonValue(), fc.string({ unit: "binary" }), fc.string()) }),
  fc.record({
    data_base64: mostly(
      fc
        .oneof(
          fc.uint8Array(),
          fc.json().map((json) => Buffer.from(json)),
        )
        .map((bytes) => Buffer.from(bytes).toString("base64")),
      fc.constantFrom("=", "a", 7),
    ),
  }),
  fc.record({ data: fc.jsonValue(), data_base64: mostly(fc.constant(null), fc.constant("")) }),
  fc.constant({}),
)
const anyEnvelope: fc.Arbitrary<Record<string, unknown>> = fc
  .tuple(anyAttributes, anyData, mostly(fc.constant({}), fc.constantFrom({ BAD: "x" }, { "": 1 })))
  .map(([attributes, data, more]) => ({ ...attributes, ...data, ...more }))

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
    return true
  } catch {
    return false
  }
}

/** The rules, written the long way: what a valid envelope comes to. */
function expected(
  envelope: Record<string, unknown>,
): { attributes: Record<string, unknown>; data: unknown; kind: string } | undefined {
  const attributes: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(envelope)) {
    if (["data", "data_base64", "redcarcursor", "redcartime"].includes(name) || value === null) continue
    // JSON writes -0 as 0.
    attributes[name] = value === 0 ? 0 : value
  }
  if (attributeFaults(attributes).length > 0) return undefined
  const base64 = envelope.data_base64
  if (base64 !== undefined && base64 !== null) {
    if ("data" in envelope || typeof base64 !== "string") return undefined
    const bytes = Buffer.from(base64, "base64")
    if (bytes.toString("base64") !== base64) return undefined
    const type = attributes.datacontenttype as string | undefined
    return type !== undefined && parseMediaType(type).json && isJson(bytes)
      ? { attributes, data: bytes.toString(), kind: "json" }
      : { attributes, data: bytes.toString("latin1"), kind: "binary" }
  }
  if (!("data" in envelope)) return { attributes, data: undefined, kind: "none" }
  const type = attributes.datacontenttype as string | undefined
  if (type !== undefined && !parseMediaType(type).json) {
    return typeof envelope.data !== "string" || /\p{Cs}/u.test(envelope.data)
      ? undefined
      : { attributes, data: envelope.data, kind: "text" }
  }
  return { attributes, data: JSON.stringify(envelope.data), kind: "json" }
}

function outcome(event: Event | InvalidEvent) {
  if (event instanceof InvalidEvent) return undefined
  const data = event.data === undefined ? undefined : Buffer.from(event.data)
  return {
    attributes: event.attributes,
    data: event.dataKind === "binary" ? data?.toString("latin1") : data?.toString(),
    kind: event.dataKind as string,
  }
}

describe("decoding", () => {
  it("agrees with the rules, in whatever way the envelope is written", () => {
    const seen = { valid: 0, invalid: 0 }
    fc.assert(
      fc.property(anyEnvelope, (envelope) => {
        const shuffled = Object.fromEntries(Object.entries(envelope).reverse())
        for (const [written, is] of [
          [JSON.stringify(envelope), envelope],
          [JSON.stringify(shuffled), shuffled],
          [` ${JSON.stringify(envelope).replace(/"id":/, '"\\u0069d":')}\n`, envelope],
        ] as const) {
          const want = expected(is)
          const event = decode(written)
          expect(outcome(event)).toEqual(want)
          if (want === undefined) seen.invalid++
          else seen.valid++
          if (event instanceof Event) expect(event.id).toBe(event.attributes.id)
          if (event instanceof Event) expect(event.source).toBe(event.attributes.source)
        }
        // Whitespace outside data only, for data is kept as it stands.
        const { data, ...rest } = envelope
        const wide = decode(JSON.stringify(rest, null, 2))
        expect(outcome(wide)).toEqual(expected(rest))
        if (wide instanceof Event) expect(text(wide.attributesJson)).not.toMatch(/[\r\n]/)
      }),
      { numRuns: 3000 },
    )
    expect(seen.valid).toBeGreaterThan(1000)
    expect(seen.invalid).toBeGreaterThan(1000)
  })

  it("keeps attributes and data in the bytes they came in", () => {
    const event = decoded(
      '{"specversion":"1.0","n":10,"id":"1","source":"/a","data":{"b" : 1.0e2,\n"a":"\\u00e9"},"type":"t","s":"\\u00e9"}',
    )
    expect(text(event.data)).toBe('{"b" : 1.0e2,\n"a":"\\u00e9"}')
    expect(text(event.attributesJson)).toBe(
      '{"specversion":"1.0","n":10,"id":"1","source":"/a","type":"t","s":"\\u00e9"}',
    )
  })

  it("drops what the hub itself adds", () => {
    const event = decoded({ redcarcursor: "000", ...valid, redcartime: 5, data: 1 })
    expect(event.attributes).toEqual(valid)
    expect(text(event.attributesJson)).toBe(JSON.stringify(valid))
  })

  it("reads data by its content type", () => {
    expect(decoded(valid)).toMatchObject({ data: undefined, dataKind: "none" })
    const kind = (more: object) => {
      const event = decoded({ ...valid, ...more })
      return [event.dataKind, text(event.data)]
    }
    expect(kind({ data: null })).toEqual(["json", "null"])
    expect(kind({ data: "a" })).toEqual(["json", '"a"'])
    expect(kind({ data: "a\n", datacontenttype: "application/vnd.x+JSON" })).toEqual(["json", '"a\\n"'])
    expect(kind({ data: "a\né", datacontenttype: "application/xml" })).toEqual(["text", "a\né"])
    expect(kind({ data: "", datacontenttype: "text/plain" })).toEqual(["text", ""])
    expect(kind({ data_base64: "aGk=" })).toEqual(["binary", "hi"])
    expect(kind({ data_base64: "", datacontenttype: "application/json" })).toEqual(["binary", ""])
    expect(kind({ data: 1, data_base64: null })).toEqual(["json", "1"])
    const base64 = (value: string) => ({ data_base64: Buffer.from(value).toString("base64") })
    expect(kind({ ...base64('{"a":1}'), datacontenttype: "application/json" })).toEqual(["json", '{"a":1}'])
    expect(kind({ ...base64(" [1]\n"), datacontenttype: "a/b+json; charset=utf-8" })).toEqual(["json", " [1]\n"])
    expect(kind({ ...base64('{"a":'), datacontenttype: "application/json" })).toEqual(["binary", '{"a":'])
    expect(kind(base64('{"a":1}'))).toEqual(["binary", '{"a":1}'])
    expect(kind({ ...base64('{"a":1}'), datacontenttype: "text/plain" })).toEqual(["binary", '{"a":1}'])
    expect(kind({})).toEqual(["none", undefined])
  })

  it.each([{ a: 1 }, [1], 5, true, null])("refuses %j as data of a type that is not JSON", (data) => {
    const { faults } = refused({ ...valid, data, datacontenttype: "text/plain" })
    expect(faults).toEqual([
      {
        field: "data",
        message: expect.stringMatching(/^must be a string, .* send another datacontenttype, or data_base64$/),
      },
    ])
  })

  it("takes data of 128 levels in every form, and no deeper", () => {
    const json = (levels: number) =>
      `${'[{"a":'.repeat(levels / 2)}${levels % 2 === 0 ? "1" : "[]"}${"}]".repeat(levels / 2)}`
    const start = JSON.stringify({ ...valid, datacontenttype: "application/json" }).slice(0, -1)
    const forms = (levels: number) => {
      const base64 = `${start},"data_base64":"${Buffer.from(json(levels)).toString("base64")}"}`
      const plain = `${start},"data":${json(levels)}}`
      const batch = decoder.decodeBatch(Buffer.from(`[${plain}]`), 9)
      return [decode(plain), decode(base64), batch.kind === "events" ? batch.items[0] : batch]
    }
    expect(json(jsonDepthMax + 1).length).toBeGreaterThan(json(jsonDepthMax).length)
    for (const event of forms(jsonDepthMax)) expect(event).toMatchObject({ dataKind: "json" })
    const [plain, base64, batch] = forms(jsonDepthMax + 1)
    expect(plain).toMatchObject({ detail: expect.stringContaining("nested deeper than 128 levels") })
    expect(base64).toMatchObject({
      faults: [{ field: "data_base64", message: expect.stringMatching(/^is nested deeper than 128 levels; /) }],
    })
    expect(batch).toMatchObject({ kind: "invalid", detail: expect.stringContaining("nested deeper than 128 levels") })
  })

  it("reads what was stored as it was, whatever the rules are now", () => {
    const stored = new JsonDecoder("stored")
    const kind = (more: object) => {
      const event = stored.decode(Buffer.from(JSON.stringify({ ...valid, ...more })))
      return event instanceof Event ? [event.dataKind, text(event.data)] : event
    }
    expect(kind({ data: { a: 1 }, datacontenttype: "text/plain" })).toEqual(["json", '{"a":1}'])
    const data_base64 = Buffer.from("[1]").toString("base64")
    expect(kind({ data_base64, datacontenttype: "application/json" })).toEqual(["binary", "[1]"])
  })

  it("understands escaped slashes in base64", () => {
    expect([...decoded(JSON.stringify({ ...valid, data_base64: "////" }).replaceAll("/", "\\/")).data!]).toEqual([
      255, 255, 255,
    ])
  })

  it.each(["a", "ab", "abc", "====", "a===", "ab=c", "YW Jj", "YW-_", "YWJj\n", "YR==", "YWK=", "é", 5, [], {}, true])(
    "refuses %j as base64",
    (base64) => {
      expect(fields({ ...valid, data_base64: base64 })).toEqual(["data_base64"])
    },
  )

  it("refuses data in two forms, and text that is none", () => {
    expect(fields({ ...valid, data: null, data_base64: "" })).toEqual(["data_base64"])
    expect(
      fields('{"specversion":"1.0","id":"1","source":"/a","type":"t","datacontenttype":"text/plain","data":"\\ud800"}'),
    ).toEqual(["data"])
  })

  it("refuses an attribute that is there twice, also under escapes", () => {
    const twice = (more: string) => fields(`${JSON.stringify(valid).slice(0, -1)},${more}}`)
    expect(twice('"id":"1"')).toEqual(["id"])
    expect(twice('"\\u0069d":null')).toEqual(["id"])
    expect(twice('"x":"1","y":2,"x":"1"')).toEqual(["x"])
    expect(twice('"data":1,"data":2')).toEqual(["data"])
  })

  it("refuses numbers that are no integers of 32 bits", () => {
    for (const number of ["1.0", "1e2", "2147483648", "-2147483649", "99999999999999"]) {
      expect(fields(`${JSON.stringify(valid).slice(0, -1)},"n":${number}}`), number).toEqual(["n"])
    }
    for (const number of ["0", "2147483647", "-2147483648"]) {
      expect(decoded(`${JSON.stringify(valid).slice(0, -1)},"n":${number}}`).attributes.n).toBe(Number(number))
    }
  })

  it("names every wrong field at once, with the id where there is one", () => {
    const invalid = refused({ specversion: "2", id: "7", source: "a b", time: "x", data: 1, data_base64: "" })
    expect(invalid.id).toBe("7")
    expect(invalid.faults.map((fault) => fault.field)).toEqual(["specversion", "source", "time", "type", "data_base64"])
    expect(invalid.detail).toBe("not a valid event: 5 fields are wrong")
    expect(refused({ ...valid, type: "" }).detail).toBe("type must not be empty")
  })

  it("says where the text is not JSON", () => {
    expect(refused('{"id":"1",}').detail).toBe("not a JSON event: an unexpected character at byte 10")
    expect(refused("[]").detail).toBe("not a JSON event: not a JSON object at byte 0")
    expect(refused("").detail).toBe("not a JSON event: the JSON text ends early at byte 0")
  })

  it("has a limit on attributes", () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, ""]))
    expect(decoded({ ...valid, ...many(252) }).attributes.x251).toBe("")
    expect(refused({ ...valid, ...many(253) }).detail).toBe("the event has more than 256 attributes")
  })

  it("never takes a member for more than its name", () => {
    expect(
      decoded('{"specversion":"1.0","id":"1","source":"/a","type":"t","constructor":"x"}').attribute("constructor"),
    ).toBe("x")
    expect(fields({ ...valid, __proto__x: "1" })).toEqual(["__proto__x"])
    expect(fields('{"specversion":"1.0","id":"1","source":"/a","type":"t","__proto__":"x"}')).toEqual(["__proto__"])
  })
})

describe("a batch", () => {
  const batch = (text: string, max = 10) => decoder.decodeBatch(Buffer.from(text), max)

  it("holds events, valid and invalid, in order", () => {
    const result = batch(
      ` [ ${JSON.stringify(valid)} , {"id":"2"},3,[1,{}],${JSON.stringify({ ...valid, id: "5", data: [1] })}]\n`,
    )
    if (result.kind !== "events") throw new Error(result.kind)
    expect(result.items.map((item) => item.id)).toEqual(["1", "2", undefined, undefined, "5"])
    expect(result.items.map((item) => item instanceof Event)).toEqual([true, false, false, false, true])
    expect(text((result.items[4] as Event).data)).toBe("[1]")
  })

  it("may be empty", () => expect(batch("[]")).toEqual({ kind: "events", items: [] }))

  it("has a limit", () => {
    expect(batch("[1,2,3]", 2)).toEqual({ kind: "too-many" })
    expect(batch("[1,2]", 2).kind).toBe("events")
  })

  it.each(["", "{}", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[]x", "[{}", '[{"a":}]', "[1]]", "1"])(
    "is not %j",
    (text) => {
      expect(batch(text).kind).toBe("invalid")
    },
  )

  it("is JSON exactly when JSON.parse says so", () => {
    const piece = fc.constantFrom("[", "]", ",", "{", "}", " ", "1", '"a"', '"a":1', "{}", "[]")
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = `[${pieces.join("")}`
        let valid = true
        try {
          valid = Array.isArray(JSON.parse(text))
        } catch {
          valid = false
        }
        expect(batch(text).kind === "events").toBe(valid)
      }),
      { numRuns: 5000 },
    )
  })
})

describe("encoding", () => {
  it("gives back what was decoded, byte for byte in its data but for space around JSON that came as bytes", () => {
    const bare = (given: ReturnType<typeof outcome>) =>
      given?.kind === "json" ? { ...given, data: given.data?.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "") } : given
    fc.assert(
      fc.property(anyEnvelope, fc.boolean(), (envelope, oneLine) => {
        const event = decode(envelope)
        fc.pre(event instanceof Event)
        const writer = new EventWriter(16)
        writer.event(event, undefined, oneLine)
        const again = decoder.decode(writer.take())
        expect(bare(outcome(again))).toEqual(bare(outcome(event)))
      }),
      { numRuns: 3000 },
    )
  })

  it("makes from an envelope of its own kind the same bytes again", () => {
    const written = JSON.stringify({ ...valid, datacontenttype: "text/plain", ext: 5, data: 'a"b\\c\n\u0001é' })
    expect(encodeEvent(decoded(written)).toString()).toBe(written)
  })

  const mark = { cursor: "00a1" as StoredEvent["cursor"], storedAt: Date.UTC(2026, 0, 31) }
  const stored = (event: Event, storedAt = mark.storedAt) => ({
    ...mark,
    storedAt,
    address: { tenant: "default", topic: "x" },
    event,
  })
  const marks = '"redcarcursor":"00a1","redcartime":"2026-01-31T00:00:00.000Z"'

  it("adds where the event was read", () => {
    expect(encodeEvent(decoded({ ...valid, data: 1 }), mark).toString()).toBe(
      `${JSON.stringify(valid).slice(0, -1)},${marks},"data":1}`,
    )
  })

  it("writes one line an event, whatever newlines its data has", () => {
    const event = decoded(`${JSON.stringify(valid).slice(0, -1)},"data":{\r\n"a":\n"\\n"}}`)
    const writer = new EventWriter(8)
    for (const one of [stored(event), stored(event, mark.storedAt + 1)]) writer.line(one.event, one)
    const lines = writer.take().toString()
    const line = `${JSON.stringify(valid).slice(0, -1)},${marks},"data":{  "a": "\\n"}}\n`
    expect(lines).toBe(line + line.replace("00.000Z", "00.001Z"))
    expect(encodeEvent(event).toString()).toContain('{\r\n"a":\n"\\n"}')
  })

  it("leaves what it gave away alone", () => {
    const writer = new EventWriter(8)
    writer.line(decoded(valid))
    const first = writer.take()
    const before = first.toString()
    writer.line(decoded({ ...valid, id: "something else" }))
    expect(first.toString()).toBe(before)
    expect(writer.length).toBeGreaterThan(before.length)
  })

  it("quotes as JSON.stringify does", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => quoteJson(text) === JSON.stringify(text)))
  })
})
