import { expect, test } from "vitest"
import { withoutBlanks } from "./blanks.ts"

test("spaces and tabs go from both ends, and nothing else goes", () => {
  expect([" a b\t", "\t \t", "", "a", "\u00a0a\u00a0", " a\n"].map(withoutBlanks)).toEqual([
    "a b",
    "",
    "",
    "a",
    "\u00a0a\u00a0",
    "a\n",
  ])
})
