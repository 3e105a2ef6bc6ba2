import { expect, test } from "vitest"
import { ProblemError } from "./errors.ts"
import { formatPageToken, PageItems, pageBytesMax, parsePageToken, toPage } from "./paging.ts"
import { AnswerRoom, answersBytesMax, Share } from "./room.ts"

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

test("a page ends before its items are too large together, or too many; one is always on it", () => {
  const pageOf = (sizes: readonly number[], pageSize: number) => {
    const items = new PageItems<string>(pageSize, new Share(new AnswerRoom(), "default"))
    for (const [i, size] of sizes.entries()) if (!items.add("x".repeat(size), String(i))) break
    const { items: shown, nextPageToken } = items.page(query)
    return { items: shown.length, after: parsePageToken(query, nextPageToken) }
  }
  expect(pageOf([1, 1], 2)).toEqual({ items: 2, after: undefined })
  expect(pageOf([1, 1, 1], 2)).toEqual({ items: 2, after: "1" })
  expect(pageOf([2 * pageBytesMax, 1], 10)).toEqual({ items: 1, after: "0" })
  expect(pageOf([pageBytesMax / 2, pageBytesMax / 4, pageBytesMax / 2], 10)).toEqual({ items: 2, after: "1" })
})

test("a page whose items find no room is refused, and holds nothing that it has not taken", () => {
  const room = new AnswerRoom()
  expect(room.take("default", answersBytesMax / 2)).toBeUndefined()
  const items = new PageItems<string>(10, new Share(room, "default"))
  expect(items.add("small", "1")).toBe(true)
  expect(() => items.add("x".repeat(100_000), "2")).toThrow(/too many large answers of tenant default/)
  expect(room.taken).toBe(answersBytesMax / 2)
})
