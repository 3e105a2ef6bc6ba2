import { readFileSync } from "node:fs"
import { afterAll, expect, test } from "vitest"
import { patternOf, shownIn } from "./cli/shown.fixture.ts"
import { runCli, shellWords } from "./cli/terminal.fixture.ts"
import { startTestHub } from "./hub.fixture.ts"

const page = readFileSync(new URL("../docs/subscriptions.md", import.meta.url), "utf8")
const hub = await startTestHub()
afterAll(() => hub.stop())

test("what the page shows is what is said", async () => {
  const shown = shownIn(page)
  expect(shown.length).toBeGreaterThan(9)
  for (const { command, output } of shown) {
    const { code, out } = await runCli([...shellWords(command), "--url", hub.url, "--key", hub.key])
    expect({ command, code }).toEqual({ command, code: 0 })
    expect(out).toMatch(patternOf(output))
  }
})

test("the commit that it shows is taken for one, and refused since it was reset", async () => {
  const body = /^```json commit\n([\s\S]*?)^```$/m.exec(page)![1]!
  const { cursor } = (await hub.call("GET", "/v1/subscriptions/billing")).body.status.position
  const answer = await hub.call("POST", "/v1/subscriptions/billing/commit", body.replace("00000000008", cursor))
  expect([answer.status, answer.body.errors[0].field]).toEqual([412, "expected.epoch"])
})
