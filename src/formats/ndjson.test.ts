import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Collector } from "./collector.ts"
import { LineSplitter } from "./ndjson.ts"

/** The lines of a text that arrives in pieces cut at `cuts`; a long one as null. */
function lines(text: string, cuts: readonly number[], lineBytesMax: number, stopAfter = Number.POSITIVE_INFINITY) {
  const bytes = Buffer.from(text)
  const found: (string | null)[] = []
  const splitter = new LineSplitter(
    lineBytesMax,
    (line, start, end) => found.push(line.toString("utf8", start, end)) < stopAfter,
    () => found.push(null) < stopAfter,
  )
  let start = 0
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)) {
    splitter.push(bytes.subarray(start, cut))
    start = cut
  }
  splitter.end()
  return found
}

const someText = fc
  .array(fc.constantFrom("a", "bb", "é", "\n", "\n", "\r\n", " ", '{"a":1}'), { maxLength: 30 })
  .map((parts) => parts.join(""))

describe("lines", () => {
  it("are the same wherever the chunks are cut", () => {
    fc.assert(
      fc.property(
        someText,
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.integer({ min: 1, max: 10 }),
        (text, cuts, max) => {
          const wanted = text
            .split("\n")
            .map((line) => (Buffer.byteLength(line) > max ? null : line))
            .filter((line) => line === null || /[^ \r\t]/.test(line))
          const found = lines(text, cuts, max)
          // Blank ones that are too long may be reported or not: that depends on the cuts.
          const isBlankLong = (line: string) => line.length > max && !/[^ \r\t]/.test(line)
          if (!text.split("\n").some(isBlankLong)) expect(found).toEqual(wanted)
        },
      ),
      { numRuns: 3000 },
    )
  })

  it("end when the reader has had enough", () => {
    for (const cuts of [[], [1], [2, 3], [5]]) expect(lines("a\nb\nc\nd", cuts, 10, 2)).toEqual(["a", "b"])
  })

  it("need no memory for what is too long", () => {
    let long = 0
    const splitter = new LineSplitter(
      100,
      () => true,
      () => {
        long++
        return true
      },
    )
    for (let i = 0; i < 1000; i++) splitter.push(Buffer.alloc(99, 0x61))
    expect(long).toBe(1)
  })
})

describe("the collector", () => {
  it("joins what it was given", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 20 }), (chunks) => {
        const collector = new Collector()
        for (const chunk of chunks) collector.push(Buffer.from(chunk))
        const all = Buffer.concat(chunks)
        expect(collector.length).toBe(all.length)
        expect(collector.take().equals(all)).toBe(true)
        expect(collector.take().length).toBe(0)
      }),
    )
  })

  it("answers a single chunk as it is", () => {
    const collector = new Collector()
    const chunk = Buffer.from("abc")
    collector.push(chunk)
    expect(collector.take()).toBe(chunk)
  })
})
