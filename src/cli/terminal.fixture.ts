import { main } from "./main.ts"
import type { Terminal } from "./terminal.ts"

/** What a command line said, and how it ended. */
export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | AsyncIterable<Uint8Array>
  /** Makes everything a terminal of this width. */
  readonly columns?: number
  readonly interrupt?: AbortSignal
  /** Sees standard output as it grows. */
  readonly onOut?: (text: string) => void
  /** Sees standard error as it grows. */
  readonly onErr?: (text: string) => void
}

/** A terminal that is recorded. */
export function recordedTerminal(options: RunOptions = {}): {
  readonly terminal: Terminal
  readonly said: { out: string; err: string }
} {
  const said = { out: "", err: "" }
  const isTerminal = options.columns !== undefined
  const terminal: Terminal = {
    env: options.env ?? {},
    stdin: typeof options.stdin === "object" ? options.stdin : onePart(options.stdin ?? ""),
    stdinIsTerminal: false,
    stdinIsPiped: () => options.stdin !== undefined,
    stdoutIsTerminal: isTerminal,
    stderrIsTerminal: isTerminal,
    columns: options.columns,
    out: async (text) => {
      said.out += text
      options.onOut?.(text)
    },
    err: (text) => {
      said.err += text
      options.onErr?.(text)
    },
    interrupted: () => options.interrupt ?? new AbortController().signal,
  }
  return { terminal, said }
}

/** Runs one command line in this process, with a terminal that is recorded. */
export async function runCli(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { terminal, said } = recordedTerminal(options)
  const code = await main(argv, terminal)
  return { code, ...said }
}

async function* onePart(text: string): AsyncIterable<Uint8Array> {
  if (text !== "") yield Buffer.from(text)
}

/** The words of a command line as a shell would read them: quotes, and backslashes outside of single ones. */
export function shellWords(line: string): readonly string[] {
  const words: string[] = []
  for (const match of line.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g))
    words.push(match[0].replace(/'([^']*)'|"([^"]*)"/g, "$1$2"))
  return words
}
