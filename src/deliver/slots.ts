/** What a lane may hold however much the others have taken. */
const always = 4

/**
 * How much may be in flight in all lanes together, shared so that no lane takes it from the others: a lane may hold
 * {@link always} in any case, and beyond that as many slots as are free. So one greedy lane stops at half, and a lane
 * comes forward however many others hang. In flight are at most `max` and {@link always} for each lane.
 */
export class Slots {
  readonly max: number
  #taken = 0
  /** Who waits, by how many slots must be free for it. All of these are more than are free. */
  readonly #waiting = new Map<number, Set<() => void>>()
  readonly #needs = new Map<() => void, number>()

  constructor(max: number) {
    this.max = max
  }

  get taken(): number {
    return this.#taken
  }

  /** How many more a lane may take that has `held`. */
  room(held: number): number {
    return Math.max(0, always - held, Math.floor((this.max - this.#taken - held + 1) / 2))
  }

  take(count: number): void {
    this.#taken += count
  }

  /** Gives back, and wakes those for whom there is room now; in the order in which they came. */
  give(count: number): void {
    let need = this.max - this.#taken + 1
    this.#taken -= count
    if (this.#needs.size === 0) return
    for (; need <= this.max - this.#taken; need++) {
      const waiting = this.#waiting.get(need)
      if (waiting) this.#wake(waiting, need)
    }
  }

  /** Calls `wake` once when there is room for a lane that has `held`. A second call replaces the first. */
  wait(held: number, wake: () => void): void {
    this.forget(wake)
    const need = Math.max(held + 1, this.max - this.#taken + 1)
    this.#needs.set(wake, need)
    const waiting = this.#waiting.get(need)
    if (waiting) waiting.add(wake)
    else this.#waiting.set(need, new Set([wake]))
  }

  /** Takes back {@link Slots.wait}. */
  forget(wake: () => void): void {
    const need = this.#needs.get(wake)
    if (need === undefined) return
    this.#needs.delete(wake)
    const waiting = this.#waiting.get(need)!
    waiting.delete(wake)
    if (waiting.size === 0) this.#waiting.delete(need)
  }

  #wake(waiting: Set<() => void>, need: number): void {
    for (const wake of waiting) {
      if (need > this.max - this.#taken) return
      this.forget(wake)
      wake()
    }
  }
}
