import type { Logger } from "../core/logger.ts"

/** What a logger in memory was told. */
export interface MemoryLog extends Logger {
  /** Above `info`, with their level. */
  readonly lines: string[]
  /** Of those lines, what goes with them. */
  readonly fields: object[]
  readonly infos: string[]
  readonly debugs: string[]
}

/** A logger that keeps what it is told. */
export function createMemoryLog(): MemoryLog {
  const [lines, fields, infos, debugs]: [string[], object[], string[], string[]] = [[], [], [], []]
  const line = (level: string) => (more: object, text: string) => {
    lines.push(`${level}: ${text}${"err" in more ? `: ${more.err}` : ""}`)
    fields.push(more)
  }
  return {
    ...{ lines, fields, infos, debugs },
    debug: (_, text) => void debugs.push(text),
    info: (_, text) => void infos.push(text),
    warn: line("warn"),
    error: line("error"),
  }
}
