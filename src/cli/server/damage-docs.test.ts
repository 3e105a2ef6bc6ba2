import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { runCli } from "../terminal.fixture.ts"

const page = readFileSync(new URL("../../../docs/damage.md", import.meta.url), "utf8")

/** What the engine's source says, with … for what is filled in. */
function said(): string {
  return ["../../engines/embedded", "../../engines/parts"].flatMap(textsIn).join("\n")
}

function textsIn(path: string): readonly string[] {
  const folder = fileURLToPath(new URL(path, import.meta.url))
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
  const sources = names.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
  return sources.map((name) => readFileSync(join(folder, name), "utf8").replaceAll(/\$\{[^}]*\}/g, "…"))
}

test("every message that the page explains is one that the engine has", () => {
  const source = said()
  const [, ...tables] = page.split(/^\| message \|.*$/m)
  const rows = tables.map((table) => [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message]) => message!))
  expect(rows.map(({ length }) => length)).toEqual([20, 5])
  for (const message of rows.flat()) {
    const words = message.split(/…|[()]/).filter((part) => part.trim().length > 3)
    expect(words.length, message).toBeGreaterThan(0)
    for (const part of words) expect(source, message).toContain(part.trim())
  }
})

test("every command and flag that the page names is one", async () => {
  const lines = [...page.matchAll(/(?:^ {4}|`)redcar ([a-z][^`\n]*)/gm)].map(([, line]) => line!)
  expect(lines.length).toBeGreaterThan(4)
  for (const line of lines) {
    const words = line.split(" ")
    const [command = ""] = line.split(" --")
    const { code, out } = await runCli([...command.split(" "), "--help"])
    expect([line, code]).toEqual([line, 0])
    for (const flag of words.filter((word) => word.startsWith("--"))) expect(out, line).toContain(`${flag} `)
  }
})
