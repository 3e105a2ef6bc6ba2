import { expect, test } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { createTrigger } from "../testing/samples.ts"
import { RestingTriggers } from "./resting.ts"

test("the log has one line when a trigger begins to rest, another where the reason is another, and one when it goes on", () => {
  const lines: string[] = []
  const line = (fields: object, text: string) => lines.push("reason" in fields ? `${text} (${fields.reason})` : text)
  const resting = new RestingTriggers({ info: line, warn: line, error: line })
  const trigger = createTrigger("t", "0" as Cursor)
  resting.goesOn("default/t")
  for (const reason of ["a", "a", "b"]) resting.rests("default/t", trigger, new Error(reason))
  expect(resting.list()).toEqual([{ tenant: "default", id: "t", reason: "b" }])
  resting.goesOn("default/t")
  resting.goesOn("default/t")
  expect(resting.list()).toEqual([])
  const rests = "the trigger rests, for it cannot be matched; update or delete it"
  expect(lines).toEqual([`${rests} (a)`, `${rests} (b)`, "the trigger rests no more"])
})
