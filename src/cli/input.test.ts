import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { FailedError } from "./failures.ts"
import { type Piece, type Splitter, sniff, splitJson, splitLines } from "./input.ts"

/** What comes out when the text arrives in parts of these lengths, again and again. */
function split(splitter: Splitter, text: string, lengths: readonly number[]): readonly Piece[] {
  const bytes = Buffer.from(text)
  const pieces: Piece[] = []
  for (let from = 0, i = 0; from < bytes.length; i++) {
    const length = lengths[i % lengths.length]!
    pieces.push(...splitter.push(bytes.subarray(from, from + length)))
    from += length
  }
  return [...pieces, ...splitter.end()]
}

function values(pieces: readonly Piece[]): readonly unknown[] {
  return pieces.map(({ json }) => JSON.parse(Buffer.from(json).toString("utf8")) as unknown)
}

const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
const json = fc.jsonValue({ maxDepth: 3 })
const space = fc.constantFrom("", " ", "\n", "\r\n\t")

describe("JSON", () => {
  test("an array gives its elements, however it is laid out and cut", () => {
    fc.assert(
      fc.property(fc.array(json), fc.integer({ min: 0, max: 3 }), lengths, (array, indent, cuts) => {
        const pieces = split(splitJson(), JSON.stringify(array, null, indent), cuts)
        expect(values(pieces)).toEqual(JSON.parse(JSON.stringify(array)))
        expect(pieces.map(({ place }) => place)).toEqual(array.map((_, i) => i + 1))
        expect(pieces.every((piece) => !piece.json.includes(0x0a))).toBe(true)
      }),
    )
  })

  test("values one after the other give each, with any space around them", () => {
    const objects = fc.array(fc.dictionary(fc.string(), json), { minLength: 1 })
    fc.assert(
      fc.property(objects, space, space, lengths, (array, before, after, cuts) => {
        const text = array.map((each) => before + JSON.stringify(each, null, 1) + after).join("\n")
        expect(values(split(splitJson(), text, cuts))).toEqual(JSON.parse(JSON.stringify(array)))
      }),
    )
  })

  test("what is broken off at the end is passed on, to be refused by name", () => {
    const pieces = split(splitJson(), '[{"a":1},{"b":', [64])
    expect(pieces.map((piece) => Buffer.from(piece.json).toString())).toEqual(['{"a":1}', '{"b":'])
  })
})

describe("NDJSON", () => {
  test("each line that is not blank is one event, with its number", () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(json, { nil: undefined })),
        fc.constantFrom("\n", "\r\n"),
        lengths,
        (lines, end, cuts) => {
          const text = lines.map((each) => (each === undefined ? " " : JSON.stringify(each))).join(end)
          const pieces = split(splitLines(), text, cuts)
          const expected = lines.flatMap((value, i) => (value === undefined ? [] : [{ value, line: i + 1 }]))
          expect(values(pieces)).toEqual(JSON.parse(JSON.stringify(expected.map(({ value }) => value))))
          expect(pieces.map(({ place }) => place)).toEqual(expected.map(({ line }) => line))
        },
      ),
    )
  })

  test("a broken line is one piece, and the next one is whole again", () => {
    const pieces = split(splitLines(), '{"a":1}\n{"b\n{"c":3}\n', [5])
    expect(pieces.map((piece) => Buffer.from(piece.json).toString())).toEqual(['{"a":1}', '{"b', '{"c":3}'])
  })

  test("a line without end is refused, not held", () => {
    const splitter = splitLines()
    const part = new Uint8Array(1 << 20).fill(0x61)
    expect(() => {
      for (let i = 0; i < 32; i++) for (const _ of splitter.push(part));
    }).toThrow(FailedError)
  })
})

test.each([
  ['[{"a":1}]', "json"],
  ["  \n [", "json"],
  ['{"a":1}\n{"b":2}\n', "ndjson"],
  ['{\n  "a": 1\n}\n', "json"],
  ['{"a":1}', "json"],
  ["id,name\n1,a\n", undefined],
  ["", undefined],
])("%j begins like %s", (text, format) => expect(sniff(Buffer.from(text))).toBe(format))
