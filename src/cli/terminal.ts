import { once } from "node:events"
import { fstatSync } from "node:fs"
import pc from "picocolors"
import { programName } from "./invocation.ts"

/** What a command reads from and writes to: the process's own, or a test's. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** What a person types for `redcar`; undefined: just that. */
  readonly program?: string
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdinIsTerminal: boolean
  /** Whether standard input is a pipe, or a file that is not empty; reads nothing of it. */
  readonly stdinIsPiped?: () => boolean
  readonly stdoutIsTerminal: boolean
  readonly stderrIsTerminal: boolean
  /** Width of the terminal; undefined where output goes elsewhere. */
  readonly columns: number | undefined
  /** Standard output, for what was asked for. Resolves when more can be taken. */
  out(text: string): Promise<void>
  /** Standard error, for everything said beside it. */
  err(text: string): void
  /** Aborts at Ctrl-C. Asking for it keeps Ctrl-C from ending the process. */
  interrupted(): AbortSignal
}

export type Colours = ReturnType<typeof pc.createColors>

/** Colours for standard output, where a person sees it and has not declined them (https://no-color.org). */
export function coloursFor(terminal: Terminal, stream: "stdout" | "stderr"): Colours {
  const seen = stream === "stdout" ? terminal.stdoutIsTerminal : terminal.stderrIsTerminal
  const declined = (terminal.env.NO_COLOR ?? "") !== "" || terminal.env.TERM === "dumb"
  return pc.createColors(seen && !declined)
}

/** The process's own terminal. */
export function processTerminal(): Terminal {
  // The reader of a pipe that has gone (`redcar tail orders | head`) has seen what it wanted.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0)
    throw error
  })
  let interruption: AbortController | undefined
  return {
    env: process.env,
    program: programName({ script: process.argv[1], env: process.env, cwd: process.cwd() }),
    stdin: process.stdin,
    stdinIsTerminal: process.stdin.isTTY === true,
    stdinIsPiped,
    stdoutIsTerminal: process.stdout.isTTY === true,
    stderrIsTerminal: process.stderr.isTTY === true,
    columns: process.stdout.isTTY ? process.stdout.columns : undefined,
    async out(text) {
      if (!process.stdout.write(text)) await once(process.stdout, "drain")
    },
    err: (text) => void process.stderr.write(text),
    interrupted: () => {
      interruption ??= listenForInterrupt()
      return interruption.signal
    },
  }
}

function stdinIsPiped(): boolean {
  try {
    const stat = fstatSync(0)
    return stat.isFIFO() || (stat.isFile() && stat.size > 0)
  } catch {
    return false
  }
}

function listenForInterrupt(): AbortController {
  const controller = new AbortController()
  process.once("SIGINT", () => controller.abort())
  return controller
}

const control = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

/** Text that came from elsewhere, so that it cannot move the cursor, ring, or pretend to be another line. */
export function printable(text: string): string {
  return text.replace(control, (char) => {
    if (char === "\n") return "\\n"
    if (char === "\t") return "\\t"
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  })
}

/** All of standard input. */
export async function readAll(terminal: Terminal): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of terminal.stdin) parts.push(part)
  return Buffer.concat(parts)
}
