import type { Mutant } from "./mutant-list.ts"

const queue = "src/engines/parts/queue"

/** Mutants of leases, and of what is left of them after a crash. */
export const queueMutants: readonly Mutant[] = [
  {
    name: "what is leased for ever comes due when it is read again",
    file: `${queue}/kept.ts`,
    before:
      "putParked(writes, lane, row.delivery, { ...stateOf(row), dueAt: row.begunAt, behind: false, kept: token })",
    after:
      "writes.push(putDue(lane, row.delivery, { ...stateOf(row), dueAt: row.begunAt, behind: false, kept: token }))",
  },
  {
    name: "a lease that never lapses is given before it is written",
    file: `${queue}/kept.ts`,
    before:
      "  await written(place, rows, writes)\n  for (const row of rows) {\n    leases.end(row)\n    letGo(place, row)",
    after:
      "  void written(place, rows, writes)\n  for (const row of rows) {\n    leases.end(row)\n    letGo(place, row)",
  },
  {
    name: "an attempt whose process died does not count",
    file: "src/engines/parts/queue/notes.ts",
    before: "attempts: row.attempts + 1, unended: true",
    after: "attempts: row.attempts, unended: true",
  },
]
