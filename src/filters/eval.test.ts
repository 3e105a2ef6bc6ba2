import { expect, test } from "vitest"
import { evaluateLine } from "./eval.ts"

test("a filter that could not be saved as it is written is not evaluated, and says why", () => {
  const errorsOf = (filter: string) =>
    JSON.parse(evaluateLine(`{"filter":${filter},"event":{"data":{"a":1,"a":2}}}`)).errors.map(
      ({ kind, message }: { kind: string; message: string }) => `${kind} ${message}`,
    )
  expect(errorsOf('{"query":"data.a == 2"}')).toEqual([])
  expect(errorsOf('{"exact":{"type":"a","type":"b"}}')).toEqual(["parse filter.exact.type is there more than once"])
  expect(errorsOf('{"pattern":{"data":{"a":[9007199254740993]}}}')).toEqual([
    expect.stringMatching(/^parse filter\.pattern\.data\.a\[0\]: 9007199254740993 would be saved as 9007199254740992/),
  ])
  for (const matcher of ['{"anything-but":[1e400]}', '{"numeric":["<",1e400]}']) {
    expect(errorsOf(`{"pattern":{"data":{"a":[${matcher}]}}}`)).toEqual([expect.stringContaining("1e+400 would be")])
  }
})
