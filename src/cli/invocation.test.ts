import { describe, expect, test } from "vitest"
import { asTyped, programName } from "./invocation.ts"
import { createContext } from "./main.ts"
import { recordedTerminal } from "./terminal.fixture.ts"

const script = "/home/me/redcar/bin/redcar.js"

describe("a command is typed as it works here", () => {
  test.each([
    ["where the shell finds it", { PATH: "/bin:/usr/local/bin" }, "/", "redcar"],
    ["in a checkout", { PATH: "/bin" }, "/home/me/redcar", "node bin/redcar.js"],
    ["from elsewhere", { PATH: "/bin" }, "/tmp", `node ${script}`],
    ["by npx", { PATH: "/bin", npm_command: "exec" }, "/home/me/redcar", "npx redcar"],
    [
      "by npm start, whose path has the package's own folder",
      { PATH: "/home/me/redcar/node_modules/.bin:/bin", npm_command: "start", npm_lifecycle_event: "start" },
      "/home/me/redcar",
      "npx redcar",
    ],
  ])("%s", (_, env, cwd, program) => {
    const there = ["/usr/local/bin/redcar", "/home/me/redcar/node_modules/.bin/redcar"]
    expect(programName({ script, env, cwd }, (path) => there.includes(path))).toBe(program)
  })

  test("in texts, where a command is meant", () => {
    const text = "Start one: redcar serve --port 1 (redcar help settings), not /usr/bin/redcar serve, redcar is ready"
    expect(asTyped(text, "npx redcar")).toBe(
      "Start one: npx redcar serve --port 1 (npx redcar help settings), not /usr/bin/redcar serve, redcar is ready",
    )
    expect(asTyped(text, undefined)).toBe(text)
  })

  test("every command of the program is known as one", async () => {
    const { commands } = await createContext(recordedTerminal().terminal).program("all")
    for (const command of commands) expect(asTyped(`redcar ${command.name()} x`, "npx redcar")).toMatch(/^npx redcar/)
  })
})
