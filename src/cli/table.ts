import { stripVTControlCharacters } from "node:util"
import { printable } from "./terminal.ts"

/** One column of a table of rows `R`. */
export interface Column<R> {
  readonly title: string
  readonly value: (row: R) => string
  /** Numbers read best with their ends below each other. */
  readonly align?: "right"
  /** Colours the padded cell; sees the row. */
  readonly paint?: (cell: string, row: R) => string
}

const gap = "  "
const narrowest = 6

/**
 * Rows below their titles, no line longer than `width` (undefined: as long as it needs). The widest columns give way
 * first; what does not fit ends in `…`. What comes from elsewhere is made printable.
 */
export function table<R>(
  rows: readonly R[],
  columns: readonly Column<R>[],
  width: number | undefined,
  heading: (text: string) => string,
): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))))
  const natural = columns.map((column, i) =>
    cells.reduce((most, row) => Math.max(most, row[i]!.length), column.title.length),
  )
  const widths = width === undefined ? natural : fitted(natural, width)
  const line = (texts: readonly string[], row?: R) =>
    texts
      .map((text, i) => {
        const last = i === columns.length - 1 && columns[i]!.align !== "right"
        const cell = padded(shortened(text, widths[i]!), last ? 0 : widths[i]!, columns[i]!.align)
        const paint = columns[i]!.paint
        return row === undefined || paint === undefined ? cell : paint(cell, row)
      })
      .join(gap)
  const head = heading(line(columns.map((column) => column.title.toUpperCase())).trimEnd())
  return `${[head, ...cells.map((texts, i) => line(texts, rows[i]!).trimEnd())].join("\n")}\n`
}

function fitted(natural: readonly number[], width: number): readonly number[] {
  const widths = [...natural]
  let over = widths.reduce((sum, each) => sum + each, 0) + gap.length * (widths.length - 1) - width
  while (over > 0) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widths[widest]! <= narrowest) break
    widths[widest]!--
    over--
  }
  return widths
}

/** At most `width` long; ends in `…` where something is missing. */
export function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

function padded(text: string, width: number, align: "right" | undefined): string {
  const missing = " ".repeat(Math.max(0, width - stripVTControlCharacters(text).length))
  return align === "right" ? missing + text : text + missing
}
