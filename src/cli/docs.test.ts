import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "../api/api.fixture.ts"
import { runCli, shellWords } from "./terminal.fixture.ts"

const page = readFileSync(new URL("../../docs/filters.md", import.meta.url), "utf8")
const event = /^```json event\n([\s\S]*?)^```$/m.exec(page)![1]!
const shown = [...page.matchAll(/^```console\n\$ redcar (.*)\n([\s\S]*?)^```$/gm)].map(([, command, output]) => ({
  command: command!,
  output: output!,
}))

let api: TestApi
let directory: string
beforeAll(async () => {
  api = await openTestApi()
  directory = mkdtempSync(join(tmpdir(), "redcar-cli-"))
  writeFileSync(join(directory, "order.json"), event)
})
afterAll(async () => {
  rmSync(directory, { recursive: true })
  await api.close()
})

test.each(shown)("$command", async ({ command, output }) => {
  const words = shellWords(command).map((word) => (word === "order.json" ? join(directory, word) : word))
  const { code, out, err } = await runCli([...words, "--url", api.url, "--key", "admin"])
  expect({ code, err, out }).toEqual({ code: 0, err: "", out: output })
})

test("every other command that the page names is one", async () => {
  const named = [...page.matchAll(/`redcar ([a-z -]+?) ?(?=[`…]|--|\d|paid)/g)].map(([, words]) => words!.trim())
  expect(named.length).toBeGreaterThan(5)
  for (const words of new Set(named))
    expect([words, (await runCli([...words.split(" "), "--help"])).code]).toEqual([words, 0])
  expect(shown.length).toBeGreaterThan(1)
})
