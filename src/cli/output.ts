import { type Command, Option } from "commander"
import type { CommonOptions, Context } from "./command.ts"
import { asTyped } from "./invocation.ts"
import { type Column, table } from "./table.ts"
import { coloursFor } from "./terminal.ts"

/** Prints a list: for programs one JSON array, for people a table, or `empty` where there is nothing. */
export async function printList<R>(
  context: Context,
  options: CommonOptions,
  rows: readonly R[],
  columns: readonly Column<R>[],
  empty: string,
): Promise<void> {
  const { terminal } = context
  if (options.json) return terminal.out(`${JSON.stringify(rows, null, 2)}\n`)
  if (rows.length === 0) return terminal.out(`${asTyped(empty, terminal.program)}\n`)
  return terminal.out(table(rows, columns, terminal.columns, coloursFor(terminal, "stdout").dim))
}

/**
 * Prints the first `limit` items of a list as they come: for programs one JSON array, whose items are not held, for people a
 * table, or `empty` where there is nothing. Says on stderr where there are more.
 */
export async function printFirst<R>(
  context: Context,
  options: CommonOptions & { readonly limit: number },
  items: AsyncIterable<R>,
  columns: readonly Column<R>[],
  empty: string | (() => Promise<string>),
): Promise<void> {
  const { terminal } = context
  const rows: R[] = []
  let count = 0
  let more = false
  for await (const item of items) {
    more = count === options.limit
    if (more) break
    if (options.json) await terminal.out(`${count === 0 ? "[" : ","}\n${indented(item)}`)
    else rows.push(item)
    count++
  }
  if (options.json) await terminal.out(count === 0 ? "[]\n" : "\n]\n")
  else await printList(context, options, rows, columns, count > 0 ? "" : await saidOf(empty))
  if (more) terminal.err(`There are more than ${options.limit}: --limit takes a larger number.\n`)
}

function saidOf(text: string | (() => Promise<string>)): string | Promise<string> {
  return typeof text === "string" ? text : text()
}

function indented(value: unknown): string {
  return JSON.stringify([value], null, 2).slice(2, -2)
}

/** How one thing is printed. */
export interface OutputOptions {
  readonly output?: "yaml" | "json"
}

/** Adds the flag of {@link OutputOptions}. */
export function withOutput(command: Command): Command {
  return command.addOption(
    new Option("--output <format>", "how it is printed: yaml, unless said otherwise, or json, as --json does").choices([
      "yaml",
      "json",
    ]),
  )
}

/** Prints one thing in full: for programs JSON, for people YAML. */
export async function printOne(
  context: Context,
  options: CommonOptions & OutputOptions,
  value: unknown,
): Promise<void> {
  if (options.output === "json" || (options.json && options.output === undefined))
    return context.terminal.out(`${JSON.stringify(value, null, 2)}\n`)
  const { stringify } = await import("yaml")
  return context.terminal.out(stringify(value, { lineWidth: 0 }))
}

/** Says what was done: for programs the thing itself as JSON, for people one line. */
export async function printDone(context: Context, options: CommonOptions, value: unknown, line: string): Promise<void> {
  if (options.json) return context.terminal.out(`${JSON.stringify(value ?? {}, null, 2)}\n`)
  return context.terminal.out(`${coloursFor(context.terminal, "stdout").green("✓")} ${line}\n`)
}

/** Asks before something that cannot be taken back. Without a terminal nobody can answer, and `--yes` is needed. */
export async function confirmed(
  context: Context,
  question: string,
  options: { readonly yes?: boolean },
): Promise<boolean> {
  if (options.yes) return true
  if (!context.terminal.stdinIsTerminal || !context.terminal.stderrIsTerminal) return false
  const { confirm, isCancel } = await import("@clack/prompts")
  const answer = await confirm({ message: question, initialValue: false, output: process.stderr })
  return !isCancel(answer) && answer
}

/** `3 minutes ago` without the words: `3m`. Times to come are `in 3m`. */
export function ago(time: string | number | undefined, now: number): string {
  if (time === undefined) return "-"
  const ms = now - (typeof time === "number" ? time : Date.parse(time))
  if (Number.isNaN(ms)) return String(time)
  const text = span(Math.abs(ms))
  return ms < 0 ? `in ${text}` : text
}

function span(ms: number): string {
  const units: readonly (readonly [string, number])[] = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ]
  const [name, each] = units.find(([, size]) => ms >= size) ?? ["s", 1_000]
  return `${Math.floor(ms / each)}${name}`
}
