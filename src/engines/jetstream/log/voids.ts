const heldMax = 10_000
const toldMax = 200

/**
 * Numbers that a writer gave to messages of which it cannot say that they are stored: duplicates, refusals, and what was
 * never answered. A later message tells them, so that an audit need not take them for lost events.
 */
export class Voids {
  #held: number[] = []

  add(numbers: readonly number[]): void {
    this.#held.push(...numbers)
    if (this.#held.length > heldMax) this.#held = this.#held.slice(-heldMax)
  }

  /** The next ones to tell, which are the message's from now on; undefined where there are none. */
  take(): readonly number[] | undefined {
    if (this.#held.length === 0) return undefined
    this.#held.sort((a, b) => a - b)
    return this.#held.splice(0, toldMax)
  }
}

/** Ascending numbers as text: `7-9 12`. */
export function formatVoids(numbers: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const number of numbers) {
    const last = ranges.at(-1)
    if (last !== undefined && number <= last[1] + 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(" ")
}

/** The inverse of {@link formatVoids}: ranges, ends included. */
export function parseVoids(text: string): readonly (readonly [number, number])[] {
  return text.split(" ").map((part) => {
    const [from, to = from] = part.split("-").map(Number) as [number, number?]
    return [from, to]
  })
}
