import { execFile } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"

const bin = fileURLToPath(new URL("../../bin/redcar.js", import.meta.url))
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string
}

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...args], { env: { PATH: process.env.PATH, ...env } }, (error, out, err) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err })
    })
  })
}

describe("the program", () => {
  test("says its version", async () => {
    expect(await run([bin, "--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" })
  })

  test("exits 2 on a wrong command line and 3 without a hub", async () => {
    expect((await run([bin, "nonsense"])).code).toBe(2)
    expect((await run([bin, "topic", "list"], { REDCAR_URL: "http://127.0.0.1:1" })).code).toBe(3)
  })

  test("has no colours where nobody sees them", async () => {
    const { err } = await run([bin, "topic", "list"], { REDCAR_URL: "http://127.0.0.1:1", FORCE_COLOR: "1" })
    expect(err).not.toContain("\x1b")
  })
})

describe("on an old Node", () => {
  let home: string
  // Pretends to the program, before it starts, that this Node is an old one.
  let pretend: string

  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "redcar-bin-"))
    mkdirSync(join(home, "bin"))
    copyFileSync(bin, join(home, "bin", "redcar.js"))
    writeFileSync(join(home, "package.json"), '{"type":"module"}')
    pretend = join(home, "pretend.mjs")
    writeFileSync(
      pretend,
      'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })',
    )
  })
  afterAll(() => rmSync(home, { recursive: true }))

  test("says what is needed", async () => {
    const { code, err } = await run(["--import", pretend, join(home, "bin", "redcar.js"), "serve"])
    expect(code).toBe(1)
    expect(err).toMatch(/^Redcar needs Node 22\.18 or newer; this is Node 20\.20\.2\.\n/)
  })

  test("runs through the checkout's own Node where it has one, and ends as that does", async () => {
    mkdirSync(join(home, "node_modules", "node", "bin"), { recursive: true })
    symlinkSync(process.execPath, join(home, "node_modules", "node", "bin", "node"))
    mkdirSync(join(home, "dist", "cli"), { recursive: true })
    const main =
      "export async function start() { console.log(process.versions.node, process.argv.slice(2)); process.exitCode = 5 }"
    writeFileSync(join(home, "dist", "cli", "main.js"), main)
    const { code, out } = await run(["--import", pretend, join(home, "bin", "redcar.js"), "serve", "--port", "1"])
    expect(out).toBe(`${process.versions.node} [ 'serve', '--port', '1' ]\n`)
    expect(code).toBe(5)
  })
})
