import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { UsageError } from "../failures.ts"
import { composeEvent, wrapLine } from "./compose.ts"

function composed(options: Parameters<typeof composeEvent>[0], data?: Uint8Array | string): Record<string, unknown> {
  const { contentType, body } = composeEvent(options, typeof data === "string" ? Buffer.from(data) : data)
  expect(contentType).toBe("application/cloudevents+json")
  return JSON.parse(Buffer.from(body).toString()) as Record<string, unknown>
}

describe("one event from flags", () => {
  test("has what was said, and an id and a source where none was", () => {
    expect(composed({ type: "a.b" })).toEqual({
      specversion: "1.0",
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      source: "/redcar/cli",
      type: "a.b",
    })
    const said = {
      type: "a",
      id: "1",
      source: "/s",
      subject: "x",
      time: "2026-01-01T00:00:00Z",
      dataschema: "/d",
      extension: { tier: "gold" },
    }
    const { extension, ...rest } = said
    expect(composed(said)).toEqual({ specversion: "1.0", ...rest, ...extension })
  })

  test("JSON data stands in it to the byte", () => {
    const text = '{"big": 12345678901234567890, "b":1.0 }'
    const { body } = composeEvent({ type: "a" }, Buffer.from(text))
    expect(Buffer.from(body).toString()).toContain(`"data":${text}}`)
  })

  test("any bytes arrive: as text, or as base64", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const event = composed({ type: "a", contentType: "text/plain" }, bytes)
        const back =
          "data" in event ? Buffer.from(event.data as string) : Buffer.from(event.data_base64 as string, "base64")
        expect(new Uint8Array(back)).toEqual(new Uint8Array(bytes))
      }),
    )
  })

  test.each([
    ["[1]", "application/json", { data: [1] }],
    ["hello", "text/plain", { data: "hello" }],
  ])("%j is taken for %s", (text, datacontenttype, data) => {
    expect(composed({ type: "a" }, text)).toMatchObject({ datacontenttype, ...data })
  })

  test("bytes that are no text are taken for octets", () => {
    expect(composed({ type: "a" }, new Uint8Array([0xff, 0]))).toMatchObject({
      datacontenttype: "application/octet-stream",
      data_base64: "/wA=",
    })
  })

  test("without a type the data goes as it is", () => {
    expect(composeEvent({}, Buffer.from("hello"))).toEqual({ contentType: "text/plain", body: Buffer.from("hello") })
    expect(composeEvent({ contentType: "image/png" }, Buffer.from("x")).contentType).toBe("image/png")
  })

  test("data that is not what it is said to be is refused", () => {
    expect(() => composeEvent({ type: "a", contentType: "application/json" }, Buffer.from("{"))).toThrow(UsageError)
  })
})

describe("the lines of a file", () => {
  test("an event stays as it is", () => {
    const line = Buffer.from('{"specversion":"1.0","id":"1", "source":"/s","type":"t"}')
    expect(wrapLine({ type: "other" }, line)).toBe(line)
  })

  test("anything else becomes data, and what is no JSON is left to the hub to name", () => {
    expect(JSON.parse(Buffer.from(wrapLine({ type: "t" }, Buffer.from("7"))).toString())).toMatchObject({
      type: "t",
      data: 7,
      datacontenttype: "application/json",
    })
    const broken = Buffer.from('{"a":')
    expect(wrapLine({ type: "t" }, broken)).toBe(broken)
  })
})
