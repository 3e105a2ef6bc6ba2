import { crc32 } from "node:zlib"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type AttributeValue, type DataKind, Event } from "../../../core/event.ts"
import { DamagedMessage, encodeMessage, MessageDecoder } from "./message.ts"
import { asciiOf, headerOf } from "./raw-message.ts"

const text = fc.string({ unit: "binary" }).filter((value) => !/\p{Cs}/u.test(value))
const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  text,
  fc.boolean(),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
)
const name = fc.stringMatching(/^[a-z0-9]{1,20}$/).filter((one) => one !== "data" && one !== "datacontenttype")
const payload = fc.oneof(
  fc.constant<[DataKind, Uint8Array | undefined]>(["none", undefined]),
  fc.tuple(fc.constantFrom<DataKind>("binary", "text", "json"), fc.uint8Array({ maxLength: 40 })),
)
const contentType = fc.option(fc.constantFrom("application/json", "text/plain", "image/png", "a/b; charset=x"), {
  nil: undefined,
})
const fields = {
  subjectCrc: crc32("redcar.acme.orders"),
  key: undefined,
  storedAt: undefined,
  voids: undefined,
  writer: "w",
  number: 7,
  serverLines: "Nats-Msg-Id: x\r\n",
}

function eventOf(
  attributes: Record<string, AttributeValue>,
  type: string | undefined,
  [kind, data]: readonly [DataKind, Uint8Array | undefined],
): Event {
  const all = { ...attributes, specversion: "1.0", id: "1", source: "/s", type: "t" }
  return Event.of(type === undefined ? all : { ...all, datacontenttype: type }, data, kind)
}

describe("messages", () => {
  const decoder = new MessageDecoder()

  test("an event comes back as it was, every attribute and byte", () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), contentType, payload, (attributes, type, data) => {
        const event = eventOf(attributes, type, data)
        const { header, payload: bytes } = encodeMessage(event, fields)
        const decoded = decoder.decode(header, bytes, fields.subjectCrc)
        if (decoded instanceof DamagedMessage) throw new Error(decoded.reason)
        expect(decoded.event.attributes).toEqual(event.attributes)
        expect(decoded.event.dataKind).toBe(event.dataKind)
        expect(decoded.event.data).toEqual(event.data)
        expect(asciiOf(header)).toMatch(/^[\x20-\x7e\r\n]*$/)
      }),
    )
  })

  test("a byte that changed is found, wherever it is before the CRC or in the data", () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), payload, fc.nat(), fc.integer({ min: 1, max: 255 }), (...given) => {
        const [attributes, data, place, change] = given
        const { header, payload: bytes } = encodeMessage(eventOf(attributes, undefined, data), fields)
        const checked = asciiOf(header).indexOf("redcar-crc: ") + 20
        const start = "NATS/1.0\r\n".length
        const at = start + (place % (checked - start + bytes.length))
        const [head, body] = [Uint8Array.from(header), Uint8Array.from(bytes)]
        if (at < checked) head[at]! ^= change
        else body[at - checked]! ^= change
        expect(decoder.decode(head, body, fields.subjectCrc)).toBeInstanceOf(DamagedMessage)
      }),
    )
  })

  test("a message under another subject is damaged", () => {
    const { header, payload: bytes } = encodeMessage(eventOf({}, undefined, ["none", undefined]), fields)
    expect(decoder.decode(header, bytes, crc32("redcar.acme.users"))).toBeInstanceOf(DamagedMessage)
  })

  test("tells the hidden key, the time of a copy, voids, and the writer", () => {
    const given = { ...fields, key: "a b", storedAt: 12, voids: "1-3 5" }
    const { header, payload: bytes } = encodeMessage(eventOf({}, undefined, ["none", undefined]), given)
    expect(decoder.decode(header, bytes, fields.subjectCrc)).toMatchObject({ key: "a b", storedAt: 12 })
    expect(headerOf(asciiOf(header), "redcar-void")).toBe("1-3 5")
    expect(headerOf(asciiOf(header), "redcar-writer")).toBe("w.7")
    expect(headerOf(asciiOf(header), "redcar-writ")).toBeUndefined()
  })

  test("attributes that fit no header are stored in structured mode", () => {
    const long = "é".repeat(40_000)
    const event = eventOf({ long, n: 1 }, "text/plain", ["text", Buffer.from('a"b')])
    const { header, payload: bytes } = encodeMessage(event, fields)
    expect(header.length).toBeLessThan(1_000)
    const decoded = decoder.decode(header, bytes, fields.subjectCrc)
    if (decoded instanceof DamagedMessage) throw new Error(decoded.reason)
    expect(decoded.event.attributes).toEqual(event.attributes)
    expect(decoded.event.dataKind).toBe("text")
    expect(Buffer.from(decoded.event.data!).toString()).toBe('a"b')
  })
})
