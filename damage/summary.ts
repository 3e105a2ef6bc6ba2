import type { TrialResult } from "./trial.ts"

interface Row {
  trials: number
  failed: number
  refused: number
  crashed: number
  lossy: number
}

/** What came of many trials, by kind of damage. */
export class Summary {
  readonly #rows = new Map<string, Row>()
  #trials = 0
  #failed = 0
  #repeated = 0
  #missing = 0
  #ms = 0

  get failed(): number {
    return this.#failed
  }

  add(result: TrialResult): void {
    const failed = result.faults.length > 0
    this.#trials++
    this.#failed += failed ? 1 : 0
    this.#repeated += result.repeated
    this.#missing += result.missing
    this.#ms += result.ms
    for (const kind of new Set(result.kinds)) {
      const row = this.#rows.get(kind) ?? { trials: 0, failed: 0, refused: 0, crashed: 0, lossy: 0 }
      this.#rows.set(kind, row)
      row.trials++
      row.failed += failed ? 1 : 0
      row.refused += result.end === "refused" ? 1 : 0
      row.crashed += result.crashes > 0 ? 1 : 0
      row.lossy += result.missing > 0 ? 1 : 0
    }
  }

  text(): string {
    const heads = ["kind", "trials", "failed", "refused", "crashed once", "lost what was damaged"]
    const rows = [...this.#rows]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kind, row]) => [kind, ...Object.values(row)])
    const lines = [heads, ...rows].map(([kind, ...cells]) =>
      [String(kind).padEnd(22), ...cells.map((cell, i) => String(cell).padStart(heads[i + 1]!.length))].join("  "),
    )
    const each = (this.#ms / 1_000 / Math.max(1, this.#trials)).toFixed(2)
    return [
      ...lines,
      `${this.#trials} trials, ${this.#failed} failed; ${this.#missing} damaged events lost, ${this.#repeated} deliveries ` +
        `that were done came again; ${each} s a trial`,
    ].join("\n")
  }
}
