import { coloursFor, type Terminal } from "./terminal.ts"

/** How far a bulk command has come. */
export interface Progress {
  /** `done` of `total` units of work, and what to say beside the bar. Draws at most ten times a second. */
  update(done: number, note: string): void
  /** Wipes the bar, so that other lines can be written. */
  end(): void
}

const drawEveryMs = 100
const barWidth = 24

/** A bar on standard error where a person looks at it; elsewhere nothing. `total` is undefined where nobody knows it. */
export function startProgress(terminal: Terminal, total: number | undefined): Progress {
  if (!terminal.stderrIsTerminal) return { update: () => {}, end: () => {} }
  const colours = coloursFor(terminal, "stderr")
  let drawnAt = -drawEveryMs
  return {
    update(done, note) {
      const now = performance.now()
      if (now - drawnAt < drawEveryMs) return
      drawnAt = now
      terminal.err(`\r\x1b[2K${total === undefined ? "" : bar(done, total, colours.cyan)}${note}`)
    },
    end: () => terminal.err("\r\x1b[2K"),
  }
}

function bar(done: number, total: number, paint: (text: string) => string): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const full = Math.round(share * barWidth)
  const percent = `${Math.floor(share * 100)}%`.padStart(4)
  return `${paint("█".repeat(full))}${"░".repeat(barWidth - full)} ${percent}  `
}

/** `12,400`: a number as people read it. */
export function counted(value: number): string {
  return Math.round(value).toLocaleString("en-US")
}

/** `1 event`, `12,400 events`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${counted(count)} ${count === 1 ? one : many}`
}
