import { expect, test } from "vitest"
import { Conditions, Troubles } from "./troubles.ts"

function createLog() {
  const lines: string[] = []
  const line = (level: string) => (_: object, text: string) => void lines.push(`${level}: ${text}`)
  return { lines, info: line("info"), warn: line("warn"), error: line("error") }
}

test("what goes wrong is told when it begins and when it works again, each trouble by itself", () => {
  const log = createLog()
  const troubles = new Troubles(log)
  troubles.over("routing")
  for (let i = 0; i < 5; i++) troubles.met("routing", "routing failed", {})
  troubles.met("pausing", "pausing failed", {})
  troubles.over("routing")
  troubles.over("routing")
  troubles.met("routing", "routing failed", {})
  troubles.forget("pausing")
  troubles.over("pausing")
  expect(log.lines).toEqual([
    "warn: routing failed",
    "warn: pausing failed",
    "info: routing works again",
    "warn: routing failed",
  ])
})

test("a condition is told when it begins and when it is over, however often it is seen", () => {
  const log = createLog()
  const conditions = new Conditions(log)
  const full = { line: "the disk is full", over: "there is room" }
  const away = { line: "n3 is away", over: "n3 is back" }
  const alsoFull = { ...full, line: "the disk is full: 3 bytes", key: full.line }
  for (const seen of [[], [full], [alsoFull], [full, away], [away], [], [full]]) conditions.see(seen)
  expect(log.lines).toEqual([
    "warn: the disk is full",
    "warn: n3 is away",
    "info: there is room",
    "info: n3 is back",
    "warn: the disk is full",
  ])
})
