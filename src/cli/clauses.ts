import { type Colours, coloursFor, printable, type Terminal } from "./terminal.ts"

/** One clause of filters, as the hub explains it. */
export interface ApiClause {
  readonly clause: string
  readonly value?: unknown
  readonly actual?: unknown
  readonly absent?: boolean
  readonly several?: boolean
  readonly empty?: boolean
  readonly error?: string
  readonly of?: readonly ApiClause[]
  readonly decided?: boolean
}

export interface ApiWarning {
  readonly field: string
  readonly message: string
}

/** The mark of a verdict, coloured: ✓ fires, ✗ rejects, … waits, ? unknown. */
export function verdictMark(verdict: string, colours: Colours): string {
  if (verdict === "fires") return colours.green("✓")
  if (verdict === "rejects") return colours.red("✗")
  return verdict === "waits" ? colours.yellow("…") : colours.yellow("?")
}

/** The tree of clauses, each on a line with what it came to; the one that decided is marked. */
export function clauseLines(root: ApiClause, colours: Colours): readonly string[] {
  const lines: string[] = []
  const visit = (clause: ApiClause, stem: string, below: string): void => {
    lines.push(`${colours.dim(stem)}${clauseLine(clause, colours)}`)
    const parts = clause.of ?? []
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1
      visit(part, `${below}${last ? "└─ " : "├─ "}`, `${below}${last ? "   " : "│  "}`)
    }
  }
  visit(root, "", "")
  return lines
}

function clauseLine(each: ApiClause, colours: Colours): string {
  const { clause, value, actual, absent, several, empty, error, decided } = each
  const text = printable(clause)
  const are = several ? "values are" : empty ? "no such value in" : "is"
  const notes = [
    ...(typeof value === "boolean" || value === undefined ? [] : [`= ${shown(value)}`]),
    ...(actual === undefined ? [] : [`${are} ${shown(actual)}`]),
    ...(absent ? ["is not there"] : []),
    ...(value === undefined ? ["not evaluated"] : []),
  ]
  return [
    markOf(value, colours),
    decided ? colours.bold(text) : text,
    ...notes.map((note) => colours.dim(note)),
    ...(error === undefined ? [] : [colours.red(printable(error))]),
    ...(decided ? [colours.yellow("← decided")] : []),
  ].join("  ")
}

function markOf(value: unknown, colours: Colours): string {
  if (value === true) return colours.green("✓")
  return value === false ? colours.red("✗") : colours.dim("·")
}

function shown(value: unknown): string {
  const text = printable(JSON.stringify(value))
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Tells what the hub finds odd in filters, one line each, on standard error. */
export function warn(terminal: Terminal, warnings: readonly ApiWarning[] = []): void {
  const colours = coloursFor(terminal, "stderr")
  for (const { field, message } of warnings)
    terminal.err(`${colours.yellow("warning:")} ${printable(field)} ${printable(message)}\n`)
}
