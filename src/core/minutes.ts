import type { Clock } from "./clock.ts"

const restMs = 60_000
/** What is told apart at a time; more is told together. */
const keysMax = 1_000
const otherKey = "(other)"

/** How the first of its like is told, and how many followed. */
export interface Lines {
  first(): void
  more(count: number): void
}

interface Resting {
  readonly lines: Lines
  /** Those that no line has told of. */
  count: number
  readonly cancel: () => void
}

/** Tells of what may come in any number: the first of each key at once, and those after it once a minute, by their number. */
export class ByTheMinute {
  readonly #clock: Clock
  /** What a line told of within the last minute. */
  readonly #resting = new Map<string, Resting>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  met(key: string, lines: Lines): void {
    const resting = this.#resting.get(key)
    if (resting !== undefined) resting.count++
    else if (this.#resting.size >= keysMax && key !== otherKey) this.met(otherKey, lines)
    else {
      lines.first()
      this.#rest(key, lines)
    }
  }

  /** Tells of those that no line has told of yet. */
  close(): void {
    for (const resting of this.#resting.values()) {
      resting.cancel()
      tell(resting)
    }
    this.#resting.clear()
  }

  #rest(key: string, lines: Lines): void {
    const cancel = this.#clock.after(restMs, () => {
      const resting = this.#resting.get(key)!
      this.#resting.delete(key)
      if (tell(resting)) this.#rest(key, lines)
    })
    this.#resting.set(key, { lines, count: 0, cancel })
  }
}

function tell({ lines, count }: Resting): boolean {
  if (count > 0) lines.more(count)
  return count > 0
}
