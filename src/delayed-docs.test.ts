import { readFileSync } from "node:fs"
import { afterAll, expect, test } from "vitest"
import { patternOf, shownIn } from "./cli/shown.fixture.ts"
import { runCli, shellWords } from "./cli/terminal.fixture.ts"
import { startTestHub } from "./hub.fixture.ts"

/** The day that the page names is past at some time; this one never is. */
const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)
const page = readFileSync(new URL("../docs/delayed.md", import.meta.url), "utf8").replaceAll("2027-01-31", tomorrow)
const hub = await startTestHub()
afterAll(() => hub.stop())

/** The router has seen so many. */
async function untilListed(count: number): Promise<void> {
  while ((await hub.call("GET", "/v1/delayed")).body.items.length < count) await new Promise(setImmediate)
}

/** The request that the page shows. */
async function publishAsShown(): Promise<void> {
  const [, path, body] = /^```http\nPOST (\S+) HTTP\/1\.1\ncontent-type: \S+\n\n(.*)\n```$/m.exec(page)!
  const answer = await hub.call("POST", path!, body!, { "content-type": "application/cloudevents+json" })
  expect([answer.status, answer.body.delayed.until]).toEqual([202, `${tomorrow}T12:00:00.000Z`])
}

test("what the page shows is what is said", async () => {
  const shown = shownIn(page)
  expect(shown.length).toBeGreaterThan(4)
  let id = ""
  for (const { command: text, output } of shown) {
    const command = text.replace("000000000ko", id)
    if (command === "event delayed" && output.includes("r1")) {
      await publishAsShown()
      await untilListed(2)
    }
    const { code, out } = await runCli([...shellWords(command), "--url", hub.url, "--key", hub.key])
    expect({ command, code }).toEqual({ command, code: 0 })
    expect(out).toMatch(patternOf(output.replace("000000000ko", id)))
    id = /event cancel (\S+)/.exec(out)?.[1] ?? id
  }
})
