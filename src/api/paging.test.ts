import { expect, test } from "vitest"
import { ProblemError } from "./errors.ts"
import { formatPageToken, parsePageToken, toPage } from "./paging.ts"

const query = ["default", "triggers", { labels: "team=a" }]

test("a token says where its own query goes on", () => {
  expect(parsePageToken(query, formatPageToken(query, "trg-1.a_b"))).toBe("trg-1.a_b")
  expect(parsePageToken(query, undefined)).toBeUndefined()
})

test("a token of another query is refused, naming the field", () => {
  const other = formatPageToken(["default", "triggers", { labels: "team=b" }], "x")
  expect(() => parsePageToken(query, other)).toThrowError(ProblemError)
  try {
    parsePageToken(query, other)
  } catch (error) {
    expect((error as ProblemError).errors?.[0]?.field).toBe("pageToken")
  }
})

test.each(["", "x", "e30", "bnVsbA", Buffer.from("[1]").toString("base64url")])("%j is no token", (token) => {
  expect(() => parsePageToken(query, token)).toThrowError(ProblemError)
})

test("the last page has no token, also when it is full", () => {
  expect(toPage(query, ["a", "b"], 2, String)).toEqual({ items: ["a", "b"] })
  const first = toPage(query, ["a", "b", "c"], 2, String)
  expect(first.items).toEqual(["a", "b"])
  expect(parsePageToken(query, first.nextPageToken)).toBe("b")
})
