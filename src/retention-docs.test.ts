import { readFileSync } from "node:fs"
import { afterAll, expect, test } from "vitest"
import { patternOf, shownIn } from "./cli/shown.fixture.ts"
import { runCli, shellWords } from "./cli/terminal.fixture.ts"
import { startTestHub } from "./hub.fixture.ts"

const page = readFileSync(new URL("../docs/retention.md", import.meta.url), "utf8")
const hub = await startTestHub()
afterAll(() => hub.stop())

test("what the page shows is what is said", async () => {
  const shown = shownIn(page)
  expect(shown.length).toBeGreaterThan(16)
  for (const { command, output } of shown) {
    const { code, out } = await runCli([...shellWords(command), "--url", hub.url, "--key", hub.key])
    expect({ command, code, out }).toMatchObject({ command, code: 0 })
    expect(out).toMatch(patternOf(output))
  }
})

test("the topic that it shows can be made", async () => {
  const body = /^ {4}(\{"id": "orders".*\})$/m.exec(page)![1]!
  const answer = await hub.call("POST", "/v1/topics?validate_only=true", body.replace("orders", "fresh"))
  expect([answer.status, answer.body.retention]).toEqual([200, { ageMax: "30d", eventsMax: 1e6, bytesMax: 2 ** 30 }])
})

test("the rules that it shows can be made", async () => {
  const body = /^ {4}(\{"id": "app"[^`]*?\}\]\}\})$/m.exec(page)![1]!
  const answer = await hub.call("POST", "/v1/topics?validate_only=true", body.replace('"app"', '"other"'))
  expect([answer.status, answer.body.retention.rules.length]).toEqual([200, 2])
})
