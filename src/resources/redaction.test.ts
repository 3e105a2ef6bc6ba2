import Type from "typebox"
import { expect, test } from "vitest"
import { redact, restore } from "./redaction.ts"

const secret = Type.String({ writeOnly: true })
const schema = Type.Object({
  url: Type.String(),
  token: Type.Optional(secret),
  headers: Type.Record(Type.String(), secret),
  users: Type.Array(Type.Object({ name: Type.String(), password: secret })),
  login: Type.Union([Type.Object({ key: secret }), Type.Object({ none: Type.Boolean() })]),
})
const value = {
  url: "https://example.com",
  token: "t",
  headers: { authorization: "a", "x-y": "b" },
  users: [{ name: "n", password: "p" }],
  login: { key: "k" },
}

test("what is marked writeOnly is shown as ***, wherever it is", () => {
  expect(redact(schema, value)).toEqual({
    url: "https://example.com",
    token: "***",
    headers: { authorization: "***", "x-y": "***" },
    users: [{ name: "n", password: "***" }],
    login: { key: "***" },
  })
})

test("what is absent stays absent", () => {
  expect(redact(schema, { url: "u" })).toEqual({ url: "u" })
})

test("*** sent back keeps what is stored, and another value replaces it", () => {
  const missing: string[] = []
  const sent = { ...(redact(schema, value) as typeof value), token: "new" }
  expect(restore(schema, sent, value, (path) => missing.push(path.join(".")))).toEqual({ ...value, token: "new" })
  expect(missing).toEqual([])
})

test("*** for a secret that nobody has stored is told, and one that is kept", () => {
  const [missing, kept]: [string[], string[]] = [[], []]
  restore(
    schema,
    { headers: { authorization: "***", other: "***", third: "c" } },
    { headers: { other: "b", third: "d" } },
    (path) => missing.push(path.join(".")),
    (path) => kept.push(path.join(".")),
  )
  expect({ missing, kept }).toEqual({ missing: ["headers.authorization"], kept: ["headers.other"] })
})
