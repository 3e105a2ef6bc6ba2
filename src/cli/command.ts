import { type Command, InvalidArgumentError, Option } from "commander"
import { parseBytes, parseDuration } from "../config/quantities.ts"
import type { Hub, HubOptions } from "./hub.ts"
import { readJson } from "./json.ts"
import type { Terminal } from "./terminal.ts"

/** What a command has of the world. */
export interface Context {
  readonly terminal: Terminal
  hub(options: HubOptions): Hub
  /** The whole program, with those commands configured that the words name, or all of them. */
  program(words: readonly string[] | "all"): Promise<Command>
}

/** Flags that every command which talks to a hub has. */
export interface CommonOptions extends HubOptions {
  readonly json?: boolean
}

const examplesOf = new WeakMap<Command, readonly string[]>()

/** Shows examples below a command's help: a command line, and what it is for. A test parses each. */
export function examples(
  command: Command,
  lines: readonly (readonly [commandLine: string, purpose: string])[],
): Command {
  examplesOf.set(
    command,
    lines.map(([commandLine]) => commandLine),
  )
  const text = lines.map(([commandLine, purpose]) => `  # ${purpose}\n  ${commandLine}`).join("\n")
  return command.addHelpText("after", `\nExamples:\n${text}`)
}

/** The examples in a command's help. */
export function examplesIn(command: Command): readonly string[] {
  return examplesOf.get(command) ?? []
}

/** Adds the flags of {@link CommonOptions}. */
export function withHub(command: Command): Command {
  return command
    .optionsGroup("The hub:")
    .option("--url <url>", "where the hub is (REDCAR_URL; default http://127.0.0.1:9000)")
    .option("--key <key>", "a key that it accepts (REDCAR_KEY; default: the admin key in the data directory)")
    .option("--data <directory>", "the hub's data directory, for its key (REDCAR_DATA; default ./data)")
    .option("--json", "print JSON, for programs")
}

/** A subcommand: `redcar topic list`. */
export function subcommand(parent: Command, nameAndArgs: string, description: string): Command {
  return parent.command(nameAndArgs).description(description)
}

/** A flag that may be given many times; its values in order. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    value,
  ])
}

/** A flag whose value is `name=value`, given many times: all of them as one object. */
export function pairs(flags: string, description: string, otherwise = "Give it once."): Option {
  return new Option(flags, description).argParser((text: string, before: Readonly<Record<string, string>> = {}) => {
    const at = text.indexOf("=")
    if (at < 1) throw new InvalidArgumentError("Write it as name=value.")
    const [name, value] = [text.slice(0, at), text.slice(at + 1)]
    if (Object.hasOwn(before, name) && before[name] !== value) {
      throw new InvalidArgumentError(`${name} is given twice, as ${before[name]} and as ${value}. ${otherwise}`)
    }
    return { ...before, [name]: value }
  })
}

/** For commander: a whole number from `min` to `max`. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(
      `It has to be a whole number from ${min}${max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : ""}.`,
    )
  }
}

/** For commander: a duration, passed on as it was written. */
export function durationText(text: string): string {
  if (typeof parseDuration(text) === "number") return text
  throw new InvalidArgumentError("Write it like 500ms, 10s, 5m, 24h or 7d.")
}

/** For commander: bytes. */
export function size(text: string): number {
  const value = parseBytes(text)
  if (typeof value === "number") return value
  throw new InvalidArgumentError("Write it like 512KiB, 16MiB or 1GB.")
}

/** For commander: a JSON value of a filter. */
export function jsonValue(text: string): unknown {
  const value = readJson(text, true)
  if (value instanceof SyntaxError) throw new InvalidArgumentError(`It has to be JSON (${value.message}).`)
  if (value instanceof Error) throw new InvalidArgumentError(`It cannot be kept as it is: ${value.message}.`)
  return value
}
