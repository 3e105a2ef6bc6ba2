import { formatBytes } from "../../config/quantities.ts"
import type { Inventory } from "../../migrate/inventory.ts"
import type { MigrationReport, MigrationStep } from "../../migrate/migrate.ts"
import type { Comparison } from "../../migrate/verify.ts"
import { counted, type Progress, plural, startProgress } from "../progress.ts"
import { type Column, table } from "../table.ts"
import { coloursFor, printable, type Terminal } from "../terminal.ts"

const stages: Readonly<Record<MigrationStep["stage"], string>> = {
  events: "events copied",
  deliveries: "deliveries copied",
  catalog: "of the catalog copied",
  verifying: "events compared",
}

/** A bar for each stage, with its rate and the time that is left. */
export class StepProgress {
  readonly #terminal: Terminal
  #stage: MigrationStep["stage"] | undefined
  #progress: Progress | undefined
  #startedAt = 0
  #from = 0

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  tell({ stage, done, total }: MigrationStep): void {
    const now = performance.now()
    if (stage !== this.#stage) {
      this.#progress?.end()
      this.#progress = startProgress(this.#terminal, total)
      this.#stage = stage
      this.#startedAt = now
      this.#from = done
    }
    const seconds = (now - this.#startedAt) / 1_000
    const rate = seconds < 0.5 ? 0 : (done - this.#from) / seconds
    const left = rate > 0 && total !== undefined ? `, ${duration(Math.max(0, total - done) / rate)} left` : ""
    const speed = rate > 0 ? `, ${counted(rate)} a second${left}` : ""
    this.#progress?.update(done, `${counted(done)} ${stages[stage]}${speed}`)
  }

  end(): void {
    this.#progress?.end()
  }
}

/** `2 h 5 min`, `3 min 20 s`, `12 s`. */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds)
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60]
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`
}

interface Line {
  readonly what: string
  readonly count: string
  readonly more: string
}

/** What would be copied. */
export function planText(terminal: Terminal, inventory: Inventory, from: string, to: string): string {
  const colours = coloursFor(terminal, "stdout")
  const { topics, catalog, openDeliveries, deadLetters } = inventory
  const lines: Line[] = [
    ...topics.map(({ tenant, topic, events, bytes }) => ({
      what: `events of ${tenant}/${topic}`,
      count: counted(events),
      more: `about ${formatBytes(2 ** Math.ceil(Math.log2(Math.max(1, bytes))))}`,
    })),
    { what: "open deliveries", count: counted(openDeliveries), more: "" },
    { what: "dead letters", count: counted(deadLetters), more: "" },
    ...catalog.map(({ kind, items }) => ({ what: `catalog: ${kind}`, count: counted(items), more: "" })),
  ]
  const columns: readonly Column<Line>[] = [
    { title: "what", value: ({ what }) => what },
    { title: "how many", value: ({ count }) => count, align: "right" },
    { title: "size", value: ({ more }) => more },
  ]
  const heading = `From ${printable(from)} to ${printable(to)} would be copied:\n`
  return `${heading}${table(lines, columns, terminal.columns, colours.dim)}`
}

/** What was compared, and what to do next. */
export function reportText(
  terminal: Terminal,
  { comparisons, same, notes }: MigrationReport,
  { to, work, seconds, verified }: { to: string; work: string; seconds: number; verified: boolean },
): string {
  const colours = coloursFor(terminal, "stdout")
  const both = (a: string, b: string) => (a === b ? a : `${a} / ${b}`)
  const columns: readonly Column<Comparison>[] = [
    { title: "what", value: ({ what }) => what },
    {
      title: "how many",
      value: ({ source, target }) => both(counted(source.count), counted(target.count)),
      align: "right",
    },
    { title: "checksum", value: ({ source, target }) => both(source.checksum, target.checksum) },
    {
      title: "",
      value: ({ same }) => (same ? "same" : "DIFFERENT"),
      paint: (cell, { same }) => (same ? colours.green(cell) : colours.red(cell)),
    },
  ]
  const told = notes.map((note) => `${colours.yellow("note:")} ${printable(note)}\n`).join("")
  const shown = table(comparisons, columns, terminal.columns, colours.dim)
  const different = comparisons.filter((each) => !each.same).length
  const end = same
    ? `${colours.green("✓")} ${verified ? "Nothing differs" : `All is in ${printable(to)}, and the same as it was`} (${duration(seconds)}). ` +
      `${verified ? "" : `${printable(work)} is needed for --verify-only, and can be removed after that.`}`
    : `${colours.red("✗")} ${plural(different, "line")} of these differ. Start again with an empty target, and without ${printable(work)}.`
  return `${shown}${told}${end.trimEnd()}\n`
}
