import type { Command } from "commander"
import { beforeAll, describe, expect, test } from "vitest"
import { examplesIn } from "./command.ts"
import { exitCodes } from "./failures.ts"
import { createContext } from "./main.ts"
import { runCli, shellWords } from "./terminal.fixture.ts"

const terminal = {
  env: {},
  stdin: (async function* () {})(),
  stdinIsTerminal: false,
  stdoutIsTerminal: false,
  stderrIsTerminal: false,
  columns: undefined,
  out: async () => {},
  err: () => {},
  interrupted: () => new AbortController().signal,
}

let program: Command
let leaves: readonly { readonly path: string; readonly command: Command }[]

/** Every command that does something, by the words that lead to it. */
function leavesOf(command: Command, path: readonly string[]): typeof leaves {
  if (command.commands.length === 0) return [{ path: path.join(" "), command }]
  return command.commands.flatMap((child) => leavesOf(child, [...path, child.name()]))
}

async function fresh(): Promise<Command> {
  return createContext(terminal).program("all")
}

beforeAll(async () => {
  program = await fresh()
  leaves = leavesOf(program, [])
})

describe("help", () => {
  test("no option says twice what holds where it is not given", () => {
    const options = leaves.flatMap(({ command }) => command.options.map(({ description }) => description))
    expect(options.filter((text) => /\bDefault: /.test(text)).length).toBeGreaterThan(20)
    expect(options.filter((text) => text.split(/\bDefault: /).length > 2)).toEqual([])
  })

  test("every command has a description and two or three examples, or a few more", () => {
    expect(leaves.length).toBeGreaterThan(30)
    for (const { path, command } of leaves) {
      expect(command.description(), path).not.toBe("")
      expect(examplesIn(command).length, path).toBeGreaterThanOrEqual(2)
      expect(examplesIn(command).length, path).toBeLessThanOrEqual(5)
    }
  })

  test("every example parses, as the command it is an example of", async () => {
    for (const { path, command } of leaves) {
      for (const example of examplesIn(command)) {
        // The part of the line that is ours: after a pipe and variables, before a redirection.
        const words = shellWords(example.split(" | ").at(-1)!.split(" > ")[0]!)
        const from = words.indexOf("redcar")
        expect(
          words.slice(0, from).every((word) => /^[A-Z_]+=/.test(word)),
          example,
        ).toBe(true)
        const ran: string[] = []
        const trial = await fresh()
        for (const leaf of leavesOf(trial, [])) leaf.command.action(() => void ran.push(leaf.path))
        await trial.parseAsync(words.slice(from + 1), { from: "user" })
        expect(ran, example).toEqual([path])
      }
    }
  })

  test("--help prints the examples, exits 0 and says nothing on standard error", async () => {
    for (const { path, command } of leaves) {
      const { code, out, err } = await runCli([...path.split(" "), "--help"])
      expect({ path, code, err }).toEqual({ path, code: 0, err: "" })
      for (const example of examplesIn(command)) expect(out).toContain(example)
    }
  })

  test("`redcar help` leads to the same pages", async () => {
    for (const words of [["topic"], ["topic", "create"], ["serve"]]) {
      expect((await runCli(["help", ...words])).out).toBe((await runCli([...words, "--help"])).out)
    }
    expect((await runCli(["help"])).out).toBe((await runCli(["--help"])).out)
  })

  test("exit codes are documented, each of them", async () => {
    const { out } = await runCli(["help", "exit-codes"])
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => Number(line.split(" ")[0])),
    ).toEqual(Object.values(exitCodes))
  })

  test("help on nothing known says what there is", async () => {
    const { code, err } = await runCli(["help", "nonsense"])
    expect(code).toBe(exitCodes.usage)
    expect(err).toMatch(/There is help on: serve, .*exit-codes, settings/)
  })

  test("help fits a narrow terminal as far as flags allow", async () => {
    const { out } = await runCli(["publish", "--help"], { columns: 80 })
    const prose = out.split("Examples:")[0]!.split("\n")
    expect(Math.max(...prose.map((line) => line.length))).toBeLessThanOrEqual(80)
  })
})

describe("a wrong command line", () => {
  const wrong: [string[], RegExp][] = [
    [["pubish", "orders"], /unknown command 'pubish'\n\(Did you mean publish\?\)/],
    [["topic", "creat", "orders"], /unknown command 'creat'\n\(Did you mean create\?\)/],
    [["publish"], /missing required argument 'topic'/],
    [["tail", "orders", "--limit", "none"], /whole number from 1/],
    [["tail", "orders", "--exact", "type"], /name=value/],
    [["topic", "create", "orders", "--retention-age", "long"], /500ms, 10s, 5m, 24h or 7d/],
    [["topic", "create", "orders", "--retention-bytes", "huge"], /512KiB/],
    [["trigger", "create", "--retry", "sometimes"], /Allowed choices are standard-webhooks, relay, eventarc, none/],
    [["tail", "orders", "--filter", "{"], /JSON/],
    [["serve", "--prot", "1"], /unknown option '--prot'\n\(Did you mean --port\?\)/],
    [["publish", "orders"], /nothing to publish/],
    [["publish", "orders", "x", "--file", "y"], /Give one of the two/],
    [["publish", "orders", "x", "--subject", "s"], /--subject needs a --type/],
    [["publish", "orders", "--file", "/nowhere/at/all"], /ENOENT/],
    [["publish", "orders", "-"], /standard input is empty/],
    [["dead-letter", "redrive"], /which dead letters\?/],
    [["dead-letter", "redrive", "x", "--all"], /an id and a filter/],
    [["dead-letter", "discard", "x"], /required option '--reason <reason>' not specified/],
    [["dead-letter", "discard", "--reason", "over"], /which dead letters\?/],
    [["dead-letter", "discard", "x", "--all", "--reason", "over"], /an id and a filter/],
    [["dead-letter", "discard", "x", "--reason", "over"], /x was not discarded\nSay yes when asked, or give --yes/],
    [["dead-letter", "discard", "x", "--reason", ""], /1 to 500 characters/],
    [["destination", "update"], /which destination\?/],
    [["destination", "create", "--url", "https://example.com"], /where does it send to\?\nSay it: .* --to https/],
    [["destination", "create", "--to", "https://example.com"], /what is --to of\?\nSay the kind/],
    [["tail", "orders", "--from", "2026-01-31"], /It lacks a time of day: 2026-01-31T00:00:00Z\./],
    [["trigger", "create", "--start", "10 minutes"], /How long ago is written 10m\. A place is oldest, newest,/],
    [["topic", "list", "--url", "example.com:9000"], /is not a hub's URL/],
    [["topic", "delete", "orders"], /was not deleted\nSay yes when asked, or give --yes/],
    [["topic", "update", "orders"], /nothing to change/],
    [["trigger", "update", "t", "--retry-age-max", "1h"], /needs delays, or a preset/],
    [["completion", "tcsh"], /Allowed choices are bash, zsh, fish/],
  ]

  test.each(wrong)("redcar %j exits 2 and says what is wrong", async (argv, message) => {
    const { code, out, err } = await runCli(argv)
    expect(err).toMatch(message)
    expect(out).toBe("")
    expect(code).toBe(exitCodes.usage)
  })

  test("settings that are wrong are all named before anything starts", async () => {
    const { code, err } = await runCli(["serve", "--port", "x"], { env: { REDCAR_HOTS: "1" } })
    expect(code).toBe(exitCodes.usage)
    expect(err).toContain('--port: "x" is not a whole number')
    expect(err).toContain("REDCAR_HOTS: there is no setting REDCAR_HOTS; did you mean REDCAR_HOST?")
  })

  test("with --json the error is JSON", async () => {
    const { code, err } = await runCli(["publish", "orders", "--json"])
    expect(JSON.parse(err)).toMatchObject({ error: { name: "UsageError", exitCode: code } })
  })
})
