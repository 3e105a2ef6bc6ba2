import { describe, expect, test } from "vitest"
import { UsageError } from "../failures.ts"
import { type ApiDestinationKind, configOf, kindFlags, splitLeftover } from "./kind-config.ts"

const kind: ApiDestinationKind = {
  kind: "example",
  config: {
    required: ["url"],
    properties: {
      url: { type: "string", description: "Where to." },
      timeoutMs: { type: "integer", default: 100 },
      verify: { type: "boolean" },
      headers: { type: "object" },
      tags: { type: "array" },
      mode: { enum: ["binary", "structured"] },
      signing: { anyOf: [{ const: "v1" }, { const: "none" }] },
    },
  },
}

test("what the program does not know is told apart into operands and flags", () => {
  expect(splitLeftover(["shop", "--to", "https://x", "--verify", "--timeout-ms=5", "--mode", "binary"])).toEqual({
    operands: ["shop"],
    flags: [
      ["--to", "https://x"],
      ["--verify", "true"],
      ["--timeout-ms", "5"],
      ["--mode", "binary"],
    ],
  })
  expect(splitLeftover(["--to", "https://x?a=b", "shop"])).toEqual({
    operands: ["shop"],
    flags: [["--to", "https://x?a=b"]],
  })
})

describe("a configuration", () => {
  test("has the types that the schema wants", () => {
    const { flags } = splitLeftover([
      "--to",
      "5",
      "--timeout-ms",
      "5",
      "--verify",
      "--headers",
      '{"a":"b"}',
      "--tags",
      "a, b",
    ])
    expect(configOf(kind, flags, {})).toEqual({
      url: "5",
      timeoutMs: 5,
      verify: true,
      headers: { a: "b" },
      tags: ["a", "b"],
    })
  })

  test("pairs say the same by the property's name, and unknown ones go to the hub to refuse", () => {
    expect(configOf(kind, [], { timeoutMs: "5", nonsense: "x" })).toEqual({ timeoutMs: 5, nonsense: "x" })
  })

  test.each([
    [["--urk", "x"], /have no --urk/],
    [["--timeout-ms", "soon"], /needs a number/],
    [["--verify", "perhaps"], /true or false/],
    [["--headers", "{"], /needs JSON/],
  ])("%j is refused", (words, message) => {
    const { flags } = splitLeftover(words)
    expect(() => configOf(kind, flags, {})).toThrow(UsageError)
    expect(() => configOf(kind, flags, {})).toThrow(message)
  })

  test("the nearest flag is named", () => {
    try {
      configOf(kind, [["--timeout", "5"]], {})
      expect.unreachable()
    } catch (error) {
      expect((error as UsageError).next).toEqual(["Did you mean --timeout-ms?"])
    }
  })
})

test("flags are described with their choices and defaults", () => {
  const described = Object.fromEntries(
    kindFlags(kind).map(({ flag, description, required }) => [flag, { description, required }]),
  )
  expect(described["--to"]).toEqual({ description: "Where to.", required: true })
  expect(described["--timeout-ms"]).toEqual({ description: "Default: 100.", required: false })
  const batch = { type: "object", properties: { eventsMax: { type: "integer" }, waitMs: { type: "integer" } } }
  const [flag] = kindFlags({ kind: "k", config: { properties: { batch: { ...batch, description: "In batches." } } } })
  expect(flag?.description).toBe("In batches. JSON with eventsMax, waitMs.")
  expect(described["--mode"]?.description).toBe("One of binary, structured.")
  expect(described["--signing"]?.description).toBe("One of v1, none.")
})
