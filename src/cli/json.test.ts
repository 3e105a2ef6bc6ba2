import { expect, test } from "vitest"
import { lossOfNumber, readJson } from "./json.ts"

test("JSON that a flag holds reaches the hub as it is written, or is refused with its place", () => {
  expect(readJson('{"a":[1.50,9007199254740992]}', false)).toEqual({ a: [1.5, 9007199254740992] })
  expect(readJson("{", false)).toBeInstanceOf(SyntaxError)
  expect(readJson('{"data":{"n":[1,9007199254740993]}}', false)).toMatchObject({
    message: expect.stringMatching(/^data\.n\[1\]: 9007199254740993 would be saved as 9007199254740992: /),
  })
  expect(readJson('{"type":"a","type":"b"}', false)).toMatchObject({ message: "type: is there more than once" })
})

test("so do the numbers of a YAML file", () => {
  for (const [value, source] of [
    [9007199254740992, "9007199254740993"],
    [Number.POSITIVE_INFINITY, "1e400"],
    [Number.NaN, ".nan"],
  ] as const) {
    expect(lossOfNumber(value, source, false)).toContain(`${source} would be saved as`)
  }
  for (const source of ["1", "0.50", "1e3", "9007199254740992"]) {
    expect(lossOfNumber(Number(source), source, false)).toBeUndefined()
  }
  expect(lossOfNumber(Number.NaN, ".nan", true)).toBe(".nan would be saved as null: write a number")
  expect(lossOfNumber(255, "0xff", false)).toBeUndefined()
})
