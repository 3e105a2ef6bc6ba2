import type { Share, Shares } from "../../core/shares.ts"

/** One process has every share, for as long as it lives. */
export const allShares: Shares = {
  async *take(kind, count, stop) {
    for (let number = 0; number < count && !stop.aborted; number++) yield shareOf(kind, number)
    await new Promise<void>((resolve) => {
      if (stop.aborted) resolve()
      else stop.addEventListener("abort", () => resolve(), { once: true })
    })
  },
}

function shareOf(kind: string, number: number): Share {
  return { kind, number, epoch: 1, lost: new AbortController().signal, release: async () => {} }
}
