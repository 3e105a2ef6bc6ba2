import type { Assignment, Assignments } from "../../core/assignments.ts"

/** One process has every assignment, for as long as it lives. */
export const allAssignments: Assignments = {
  async *take(kind, count, stop) {
    for (let number = 0; number < count && !stop.aborted; number++) yield assignmentOf(kind, number)
    await new Promise<void>((resolve) => {
      if (stop.aborted) resolve()
      else stop.addEventListener("abort", () => resolve(), { once: true })
    })
  },
}

function assignmentOf(kind: string, number: number): Assignment {
  return { kind, number, epoch: 1, lost: new AbortController().signal, release: async () => {} }
}
