import type { Trigger } from "../core/resources.ts"

/**
 * Runs of numbers, and of triggers beside them, in one array, by where they begin; above 0. A run has room for a power of
 * two; one that is given back is used again for a run of that size.
 */
export class Runs {
  /** The numbers. Another array once room was made. */
  numbers = new Int32Array(64)
  /** Those that stand at the same places; whoever removes a number removes its trigger. */
  readonly triggers: (Trigger | undefined)[] = new Array<Trigger | undefined>(64).fill(undefined)
  readonly #free: number[][] = []
  #end = 1

  /** A run with room for `size` numbers, which may be anything. */
  allocate(size: number): number {
    const log = logOf(size)
    const free = this.#free[log]?.pop()
    if (free !== undefined) return free
    const start = this.#end
    this.#end += 1 << log
    if (this.#end > this.numbers.length) {
      const numbers = new Int32Array(Math.max(this.numbers.length * 2, this.#end))
      numbers.set(this.numbers)
      this.numbers = numbers
    }
    while (this.triggers.length < this.#end) this.triggers.push(undefined)
    return start
  }

  /** Gives back a run that has had room for `size` numbers. */
  free(start: number, size: number): void {
    const log = logOf(size)
    while (this.#free.length <= log) this.#free.push([])
    this.#free[log]!.push(start)
    this.triggers.fill(undefined, start, start + size)
  }

  /** The run with room for `after` numbers instead of `before`, and as many of its numbers as that: it may have moved. */
  resize(start: number, before: number, after: number): number {
    if (logOf(before) === logOf(after)) return start
    const moved = this.allocate(after)
    const kept = Math.min(before, after)
    this.numbers.copyWithin(moved, start, start + kept)
    for (let at = 0; at < kept; at++) this.triggers[moved + at] = this.triggers[start + at]
    this.free(start, before)
    return moved
  }
}

function logOf(size: number): number {
  return 32 - Math.clz32(size - 1)
}
