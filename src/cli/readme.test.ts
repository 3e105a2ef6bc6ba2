import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { startHubOn } from "../restart.fixture.ts"
import { runCli, shellWords } from "./terminal.fixture.ts"

const page = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

/** What is another one in each hub, by what it is. */
function masked(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<id>")
    .replaceAll(/whsec_[\w+/=]+/g, "<secret>")
    .replaceAll(/ at [0-9a-z]{11}$/gm, " at <cursor>")
}

test("what the README's commands print, a fresh hub's print", async () => {
  const data = mkdtempSync(join(tmpdir(), "redcar-readme-"))
  const hub = await startHubOn(data)
  try {
    const [, ...shown] = page.split(/^(?:```console\n)?\$ npx redcar /m)
    expect(shown.length).toBe(3)
    for (const each of shown) {
      const [command = "", ...output] = each.slice(0, each.indexOf("\n```")).split("\n")
      const { out, err } = await runCli([...shellWords(command), "--url", hub.address, "--data", data])
      expect([command, err, masked(out).trim()]).toEqual([command, "", masked(output.join("\n")).trim()])
    }
  } finally {
    await hub.stop()
    rmSync(data, { recursive: true })
  }
})
