import { expect, test } from "vitest"
import { StorageError, UnavailableError } from "../core/errors.ts"
import { openLog } from "./log.ts"

function lines(): { readonly written: string[]; write(line: string): void } {
  const written: string[] = []
  return { written, write: (line) => void written.push(line) }
}

test("JSON lines carry level, time, message and fields, and never a secret", async () => {
  const to = lines()
  const log = await openLog({ level: "info", format: "auto", to, isTerminal: false })
  log.debug("not this")
  log.info({ topic: "orders", authorization: "Bearer rck_1", request: { secret: "whsec_1" } }, "published")
  expect(to.written).toHaveLength(1)
  const line = JSON.parse(to.written[0]!) as Record<string, unknown>
  expect(line).toMatchObject({ level: "info", topic: "orders", msg: "published", authorization: "***" })
  expect(line.request).toEqual({ secret: "***" })
  expect(Date.parse(line.time as string)).toBeGreaterThan(0)
})

test("a terminal gets lines for people", async () => {
  const to = lines()
  const log = await openLog({ level: "info", format: "auto", to, isTerminal: true })
  log.warn({ topic: "orders" }, "slow")
  expect(to.written.join("")).toMatch(/WARN.*slow/s)
  expect(to.written.join("")).not.toMatch(/^\{/)
})

test("the format can be said, whatever is looking", async () => {
  const to = lines()
  const log = await openLog({ level: "error", format: "json", to, isTerminal: true })
  log.error("broken")
  expect(JSON.parse(to.written[0]!)).toMatchObject({ level: "error", msg: "broken" })
})

test("silent writes nothing", async () => {
  const to = lines()
  const log = await openLog({ level: "silent", format: "json", to })
  log.fatal("the end")
  expect(to.written).toEqual([])
})

test("a failure that is expected is told without a stack, and a bug with it", async () => {
  const to = lines()
  const log = await openLog({ level: "warn", format: "json", to })
  log.warn({ err: new UnavailableError("nobody answers", { cause: new Error("ECONNREFUSED") }) }, "tried again")
  log.error({ err: new TypeError("undefined is not a function") }, "a bug")
  log.error(new StorageError("the disk fails"))
  const [passing, bug, alone] = to.written.map((line) => (JSON.parse(line) as { err: unknown }).err)
  expect(passing).toEqual({ type: "UnavailableError", message: "nobody answers", cause: "ECONNREFUSED" })
  expect(bug).toMatchObject({ type: "TypeError", stack: expect.stringContaining("log.test.ts") })
  expect(alone).toEqual({ type: "StorageError", message: "the disk fails" })
})
