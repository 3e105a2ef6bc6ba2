import { expect, test } from "vitest"
import { etagMatches, formatEtag } from "./etag.ts"

test.each(['"7"', "7", "*", '"6", "7"', ' "7" '])("%s matches revision 7", (header) => {
  expect(etagMatches(header, 7)).toBe(true)
})

test.each(['"6"', "", 'W/"7"', '"77"', "'7'"])("%s does not match revision 7", (header) => {
  expect(etagMatches(header, 7)).toBe(false)
})

test("what is shown is what matches", () => {
  expect(etagMatches(formatEtag(12), 12)).toBe(true)
})
