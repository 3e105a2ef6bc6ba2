import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { runCli } from "../src/cli/terminal.fixture.ts"
import { refusalStatus } from "../src/ingest/refusal.ts"
import { agrees, Machine, pageText, shownIn } from "./page.fixture.ts"

describe.each(["publishing.md", "keys.md", "backup.md", "operate.md", "schedules.md"])("docs/%s", (name) => {
  const page = pageText(name)
  let machine: Machine
  beforeAll(async () => {
    machine = await Machine.start([], page.includes("export REDCAR_KEY="))
  }, 60_000)
  afterAll(() => machine.stop())

  test("prints what it shows, command by command", async () => {
    const shown = shownIn(page)
    expect(shown.length).toBeGreaterThan(3)
    for (const { command, output } of shown) {
      const printed = await machine.run(command)
      if (!agrees(printed, output)) expect({ command, printed: printed.trim() }).toEqual({ command, printed: output })
    }
  }, 180_000)

  test("names commands and flags that are there", async () => {
    const lines = [...page.matchAll(/`redcar ([a-z][^`\n]*)`/g)].map(([, line]) => line!)
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) {
      const words = /^[a-z -]+?(?= (?:[^a-z ]|orders|hooks)| --|$)/.exec(line)![0].trim().split(" ")
      const { code, out } = await runCli([...words, "--help"])
      expect([line, code]).toEqual([line, 0])
      for (const [flag] of line.matchAll(/--[a-z-]+/g)) expect(out, line).toContain(`${flag} `)
    }
  })
})

test("docs/publishing.md has every status that publishing answers", () => {
  const rows = [...pageText("publishing.md").matchAll(/^\| (\d+) \| `([a-z-]+)` \|/gm)]
  const told = Object.fromEntries(rows.map(([, status, code]) => [code, Number(status)]))
  expect(told).toEqual(refusalStatus)
})

test("docs/operate.md explains lines that the hub can write, and ends of conditions", () => {
  const folder = fileURLToPath(new URL("../src", import.meta.url))
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
  const sources = names.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
  const source = sources
    .map((name) => readFileSync(join(folder, name), "utf8").replaceAll(/\$\{[^}]*\}/g, "…"))
    .join("\n")
  const [, table] = pageText("operate.md").split("| line | what to do |")
  const lines = [...table!.matchAll(/^\| (`.*?`) \| /gm)].flatMap(([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)])
  expect(lines.length).toBeGreaterThan(25)
  const unknown: string[] = []
  for (const [, line] of lines) {
    const words = line!.split(/…|[()]| \d+ s\b/).filter((part) => part.trim().length > 3)
    unknown.push(...words.filter((part) => !source.includes(part.trim())))
  }
  expect(unknown).toEqual([])
})
