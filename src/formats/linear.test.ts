import { describe, expect, it } from "vitest"
import { Event } from "../core/event.ts"
import { growthOf } from "../testing/growth.ts"
import { isDeeper } from "./depth.ts"
import { BinaryDecoder } from "./http-binding.ts"
import { JsonDecoder } from "./json-decode.ts"
import { encodeEvent } from "./json-encode.ts"
import { parseMediaType } from "./media-type.ts"
import { LineSplitter } from "./ndjson.ts"

const valid = { specversion: "1.0", id: "1", source: "/a", type: "t" }
const envelope = (more: object) => Buffer.from(JSON.stringify({ ...valid, ...more }))

describe("twice the bytes take no more than about twice the time", () => {
  it.each<[string, (size: number) => Buffer]>([
    ["a text", (size) => envelope({ data: "a".repeat(size) })],
    ["escapes", (size) => envelope({ data: "\\".repeat(size / 2) })],
    ["another script", (size) => envelope({ data: "é".repeat(size / 2) })],
    [
      "members",
      (size) => envelope({ data: Object.fromEntries(Array.from({ length: size / 16 }, (_, at) => [`m${at}`, at])) }),
    ],
    [
      "members at the top",
      (size) => envelope(Object.fromEntries(Array.from({ length: size / 16 }, (_, at) => [`m${at}`, at]))),
    ],
    [
      "nested arrays",
      (size) =>
        envelope({
          data: Array.from({ length: size / 256 }, () => JSON.parse(`${"[".repeat(100)}${"]".repeat(100)}`)),
        }),
    ],
    ["too deep", (size) => Buffer.from(`${"[".repeat(size / 2)}${"]".repeat(size / 2)}`)],
    ["spaces", (size) => Buffer.from(`${JSON.stringify(valid).slice(0, -1)}${" ".repeat(size)}}`)],
    ["base64", (size) => envelope({ data_base64: Buffer.alloc(size).toString("base64") })],
    [
      "JSON in base64",
      (size) =>
        envelope({
          datacontenttype: "a/json",
          data_base64: Buffer.from(JSON.stringify("a".repeat(size))).toString("base64"),
        }),
    ],
    ["text under another type", (size) => envelope({ datacontenttype: "a/b", data: `\n${"a".repeat(size)}` })],
    ["a source", (size) => envelope({ source: "/a%20".repeat(size / 5) })],
    ["a source that is none", (size) => envelope({ source: `${"/a%20".repeat(size / 5)} ` })],
    ["a schema", (size) => envelope({ dataschema: `http://${"a".repeat(size)}/#${"?".repeat(size)}` })],
    ["a content type", (size) => envelope({ datacontenttype: `a/b${"; a=b".repeat(size / 5)}`, data: "" })],
    [
      "a content type that is none",
      (size) => envelope({ datacontenttype: `a/b${" ; a=b".repeat(size / 12)}${" ".repeat(size / 2)}x`, data: "" }),
    ],
    ["a time that is none", (size) => envelope({ time: `2026-01-01T00:00:00.${"1".repeat(size)}` })],
    ["an extension", (size) => envelope({ x: "é".repeat(size / 2) })],
  ])("decoding: %s", (_, bytesOf) => {
    const decoder = new JsonDecoder()
    const prepare = (size: number) => {
      const bytes = bytesOf(size)
      return () => decoder.decode(bytes)
    }
    expect(growthOf(prepare, 500_000)).toBeLessThan(3)
  })

  it("a batch", () => {
    const prepare = (size: number) => {
      const bytes = Buffer.from(JSON.stringify(Array.from({ length: size }, () => ({ ...valid, data: { a: 1 } }))))
      return () => new JsonDecoder().decodeBatch(bytes, size)
    }
    expect(growthOf(prepare, 5_000)).toBeLessThan(3)
  })

  it("a body in binary mode, and its headers", () => {
    const headers = ["ce-specversion", "1.0", "ce-id", "1", "ce-source", "/a", "ce-type", "t"]
    const prepare = (size: number) => {
      const body = Buffer.from(JSON.stringify("é".repeat(size / 2)))
      const given = [...headers, "ce-subject", "%C3%A9".repeat(size / 6)]
      return () => new BinaryDecoder().decode(given, parseMediaType("application/json"), body)
    }
    expect(growthOf(prepare, 500_000)).toBeLessThan(3)
  })

  it("content types, whatever they repeat", () => {
    for (const part of [";", "; ", ';charset="', "; charset=", " "]) {
      const prepare = (size: number) => {
        const text = `a/b${part.repeat(size / part.length)}`
        return () => parseMediaType(text)
      }
      expect(growthOf(prepare, 100_000), part).toBeLessThan(3)
    }
  })

  it("lines, however they are cut into chunks", () => {
    const prepare = (size: number) => () => {
      let lines = 0
      const splitter = new LineSplitter(
        size * 2,
        () => ++lines > 0,
        () => true,
      )
      for (let at = 0; at < size / 10; at++) splitter.push(Buffer.from("0123456789"))
      splitter.push(Buffer.from("\n"))
      expect(lines).toBe(1)
    }
    expect(growthOf(prepare, 200_000)).toBeLessThan(3)
  })

  it("encoding", () => {
    for (const kind of ["json", "text", "binary"] as const) {
      const prepare = (size: number) => {
        const event = Event.of(valid, Buffer.from("\n".repeat(size)), kind)
        return () => encodeEvent(event)
      }
      expect(growthOf(prepare, 300_000), kind).toBeLessThan(3)
    }
  })

  it("the depth of a parsed value", () => {
    const prepare = (size: number) => {
      const deep = JSON.parse(`${"[".repeat(size)}${"]".repeat(size)}`)
      return () => isDeeper(deep, size)
    }
    expect(growthOf(prepare, 100_000)).toBeLessThan(3)
  })
})
