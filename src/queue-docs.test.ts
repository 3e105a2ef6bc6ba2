import { readFileSync } from "node:fs"
import { afterAll, expect, test } from "vitest"
import { patternOf, shownIn } from "./cli/shown.fixture.ts"
import { runCli, shellWords } from "./cli/terminal.fixture.ts"
import { startTestHub } from "./hub.fixture.ts"

const page = readFileSync(new URL("../docs/queues.md", import.meta.url), "utf8")
const hub = await startTestHub()
afterAll(() => hub.stop())

test("what the page shows is what is said", async () => {
  const shown = shownIn(page)
  expect(shown.length).toBeGreaterThan(5)
  for (const { command, output } of shown) {
    // A machine need not have jq.
    const words = shellWords(command).map((word) => (word === "jq -c .data" ? dataOf : word))
    const waits = words[0] === "queue" && words[1] === "work" ? await untilReady() : undefined
    const { code, out, err } = await runCli([...words, "--url", hub.url, "--key", hub.key], {
      env: { PATH: process.env.PATH ?? "" },
    })
    expect({ command, code, waits, err: code === 0 ? "" : err }).toEqual({ command, code: 0, waits, err: "" })
    expect(out).toMatch(patternOf(output))
  }
})

const dataOf = `"${process.execPath}" -e 'process.stdin.on("data", (d) => console.log(JSON.stringify(JSON.parse(d).data)))'`

/** The router has brought what was published. */
async function untilReady(): Promise<void> {
  while ((await hub.call("GET", "/v1/queues/jobs")).body.ready === 0) await new Promise(setImmediate)
}

test("the settlements that it shows are taken", async () => {
  const body = /^```json settle\n([\s\S]*?)^```$/m.exec(page)![1]!
  const answer = await hub.call("POST", "/v1/queues/jobs/settle", body)
  expect(answer.body.items.map(({ state }: { state: string }) => state)).toEqual(["lost", "lost", "lost"])
})
