import { stripVTControlCharacters } from "node:util"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { table } from "./table.ts"

interface Row {
  readonly id: string
  readonly count: number
  readonly text: string
}

const columns = [
  { title: "id", value: (row: Row) => row.id },
  { title: "count", value: (row: Row) => String(row.count), align: "right" as const },
  { title: "text", value: (row: Row) => row.text },
]

const plain = (text: string) => text

describe("a table", () => {
  test("takes any number of rows", () => {
    const rows = new Array<Row>(200_000).fill({ id: "a", count: 1, text: "x" })
    expect(table(rows, columns, 80, plain)).toHaveLength(
      (rows.length + 1) * "ID  COUNT  TEXT\n".length - rows.length * 3,
    )
  })

  test("lines up its columns and says their titles", () => {
    const rows = [
      { id: "a", count: 1, text: "first" },
      { id: "long-id", count: 1000, text: "second" },
    ]
    expect(table(rows, columns, undefined, plain)).toBe(
      "ID       COUNT  TEXT\na            1  first\nlong-id   1000  second\n",
    )
  })

  const row = fc.record({ id: fc.string(), count: fc.nat(), text: fc.string({ maxLength: 300, unit: "grapheme" }) })

  test("never is wider than the terminal, and has one line a row", () => {
    fc.assert(
      fc.property(fc.array(row), fc.integer({ min: 30, max: 200 }), (rows, width) => {
        const lines = table(rows, columns, width, plain).split("\n")
        expect(lines).toHaveLength(rows.length + 2)
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width)
      }),
    )
  })

  test("what comes from elsewhere cannot steer the terminal", () => {
    const rows = [{ id: "\x1b[2Jevil", count: 1, text: "two\nlines\u202e" }]
    const text = table(rows, columns, undefined, plain)
    expect(stripVTControlCharacters(text)).toBe(text)
    expect(text).toContain("\\u001b[2Jevil")
    expect(text).toContain("two\\nlines\\u202e")
  })
})
