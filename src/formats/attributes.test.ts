import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { attributeFaults, attributesMax, isMediaType, isTimestamp, valueFault } from "./attributes.ts"

const valid = { specversion: "1.0", id: "1", source: "/a", type: "t" }

describe("attributeFaults", () => {
  it("is empty for a valid event", () => {
    expect(
      attributeFaults({
        ...valid,
        subject: "größer 😀",
        time: "2026-01-31T12:00:00.123456789+05:30",
        datacontenttype: 'text/plain; charset="utf-8"',
        dataschema: "https://example.com/schema#/defs/a",
        ext1: "",
        ext2: -2147483648,
        ext3: false,
        ext4: null,
      }),
    ).toEqual([])
  })

  it("names everything that is wrong at once", () => {
    const faults = attributeFaults({
      specversion: "0.3",
      id: "",
      source: "not a uri",
      subject: "",
      time: "yesterday",
      datacontenttype: "json",
      dataschema: "/relative",
      Upper: "x",
      data: "x",
      list: [],
      big: 2147483648,
      part: 1.5,
      control: "a\u0000",
    })
    expect(faults.map((fault) => fault.field).sort()).toEqual(
      [
        ..."specversion id source subject time datacontenttype dataschema Upper data list big part control type".split(
          " ",
        ),
      ].sort(),
    )
    expect(faults.find((fault) => fault.field === "type")?.message).toBe("is required")
  })

  it("counts null as absent", () => {
    expect(attributeFaults({ ...valid, id: null })).toEqual([{ field: "id", message: "is required" }])
  })

  it("takes no inherited member for an attribute", () => {
    expect(attributeFaults(Object.create(valid)).length).toBe(4)
  })

  it("has a limit", () => {
    const many = Object.fromEntries(Array.from({ length: attributesMax - 4 }, (_, i) => [`x${i}`, "1"]))
    expect(attributeFaults({ ...valid, ...many })).toEqual([])
    expect(attributeFaults({ ...valid, ...many, one: "1" })).toHaveLength(1)
  })
})

describe("strings", () => {
  it.each(["\u0000", "\u001f", "\u007f", "\u009f", "\ufdd0", "\uffff", "\u{1fffe}", "\u{10ffff}", "\ud800", "\udc00a"])(
    "are refused with %j",
    (character) => {
      expect(valueFault("subject", `a${character}b`)).toMatch(/must not hold/)
      expect(valueFault("anything", character)).toMatch(/must not hold/)
    },
  )

  it.each(["é", "\u00a0", "\ufdcf", "\ufdf0", "\ufffd", "😀", "\u{10fffd}"])("may hold %j", (character) => {
    expect(valueFault("subject", character)).toBeUndefined()
  })
})

describe("time", () => {
  it.each([
    "2026-01-31T12:00:00Z",
    "2026-01-31t12:00:00z",
    "2024-02-29T00:00:00.1+23:59",
    "2000-02-29T00:00:00Z",
    "0000-01-01T00:00:00-00:00",
    "2016-12-31T23:59:60Z",
    "2017-01-01T05:29:60+05:30",
    "2016-12-31T15:59:60.5-08:00",
  ])("may be %s", (text) => expect(isTimestamp(text)).toBe(true))

  it.each([
    "",
    "2026-01-31",
    "2026-01-31T12:00Z",
    "2026-01-31 12:00:00Z",
    "2026-01-31T12:00:00",
    "2026-1-31T12:00:00Z0",
    "2023-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-00-10T00:00:00Z",
    "2026-13-10T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T12:60:00Z",
    "2026-01-31T12:00:60Z",
    "2026-01-31T12:00:61Z",
    "2026-01-31T12:00:00.Z",
    "2026-01-31T12:00:00+0530",
    "2026-01-31T12:00:00+24:00",
    "2026-01-31T12:00:00+05:60",
    "2026-01-31T12:00:00Zx",
    "+026-01-31T12:00:00Z",
    "２026-01-31T12:00:00Z",
  ])("may not be %j", (text) => expect(isTimestamp(text)).toBe(false))

  it("may be any that JavaScript writes", () => {
    const min = new Date("0000-01-01T00:00:00Z")
    const max = new Date("9999-12-31T23:59:59Z")
    fc.assert(fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => isTimestamp(date.toISOString())))
  })
})

describe("media types", () => {
  it.each(["a/b", "application/json; charset=utf-8", 'text/plain;a="b;\\"c"', "application/vnd.a+json ; x=y;"])(
    "%s is a media type",
    (text) => expect(isMediaType(text)).toBe(true),
  )
  it.each([
    "",
    "json",
    "a/",
    "/b",
    "a/b c",
    "a/b;c",
    "a/b;c=",
    "a/b/c",
    'a/b;c="d',
    "a/b;c=é",
    "*",
    "a b/c",
    'a/b;c="\n"',
  ])("%j is no media type", (text) => expect(isMediaType(text)).toBe(false))
})
