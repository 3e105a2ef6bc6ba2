import type { TokenCursor } from "./cursor.ts"
import { limits } from "./limits.ts"
import type { Token } from "./scanner.ts"

/** The steps of a place in data, from after `data`: `.order.total`, `[0]`, `['a name']`. At least one. */
export function parseSteps(cursor: TokenCursor): readonly (string | number)[] {
  const steps: (string | number)[] = []
  // Ends: with the tokens: each turn takes one.
  for (;;) {
    if (steps.length === limits.stepsMax && (cursor.isMark(".") || cursor.isMark("["))) {
      cursor.fail("a shorter place", `the place has more than ${limits.stepsMax} steps, and data is no deeper`)
    }
    if (cursor.takeMark(".")) {
      const token = cursor.peek()
      if (token.kind !== "word") {
        cursor.fail("a member's name", token.kind === "integer" ? "an element is written in brackets: [0]" : undefined)
        return steps
      }
      checkName(cursor, token)
      steps.push(cursor.take().text)
    } else if (cursor.isMark("[")) {
      const step = bracket(cursor)
      if (step === undefined) return steps
      steps.push(step)
    } else return steps
  }
}

function bracket(cursor: TokenCursor): string | number | undefined {
  cursor.take()
  const token = cursor.peek()
  if (token.kind !== "string" && (token.kind !== "integer" || token.text.length > 9)) {
    cursor.fail("an element's number or a member's name in quotes")
    return undefined
  }
  checkName(cursor, token)
  cursor.take()
  if (!cursor.expectMark("]")) return undefined
  return token.kind === "string" ? token.text : Number(token.text)
}

function checkName(cursor: TokenCursor, { text }: Token): void {
  if (text.length <= limits.nameCharactersMax) return
  cursor.fail("a shorter name", `the name is longer than ${limits.nameCharactersMax} characters`)
}
