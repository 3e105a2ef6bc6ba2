import { expect, test } from "vitest"
import { lossOfNumber, readJson } from "./json.ts"

test("JSON that a flag holds reaches the hub as it is written, or is refused with its place", () => {
  expect(readJson('{"a":[1.50,9007199254740992]}')).toEqual({ a: [1.5, 9007199254740992] })
  expect(readJson("{")).toBeInstanceOf(SyntaxError)
  expect(readJson('{"data":{"n":[1,9007199254740993]}}')).toMatchObject({
    message: expect.stringMatching(/^data\.n\[1\]: 9007199254740993 would be saved as 9007199254740992: /),
  })
  expect(readJson('{"type":"a","type":"b"}')).toMatchObject({ message: "type: is there more than once" })
})

test("so do the numbers of a YAML file", () => {
  for (const [value, source] of [
    [9007199254740992, "9007199254740993"],
    [Number.POSITIVE_INFINITY, "1e400"],
    [Number.NaN, ".nan"],
  ] as const) {
    expect(lossOfNumber(value, source)).toContain(`${source} would be saved as`)
  }
  for (const source of ["1", "0.50", "1e3", "9007199254740992"]) {
    expect(lossOfNumber(Number(source), source)).toBeUndefined()
  }
  expect(lossOfNumber(255, "0xff")).toBeUndefined()
})
