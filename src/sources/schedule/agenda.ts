import type { Clock } from "../../core/clock.ts"
import { createPace } from "../../core/pace.ts"
import { Heap, type Placed } from "./heap.ts"

/** When there is something to do, whichever comes first; without either: never. */
export interface Wanted {
  /** By the clock that may be set. */
  readonly now?: number
  /** By the clock that nobody sets. */
  readonly steady?: number
}

type Places<Item> = readonly (readonly [heap: Heap<Item>, placed: Placed<Item>])[]

/**
 * What has something to do at which time, and what of it is due: the latter in the order in which it came to be. Each call
 * touches what it is about alone, however many others there are.
 */
export class Agenda<Item> {
  readonly #clock: Clock
  readonly #now = new Heap<Item>()
  readonly #steady = new Heap<Item>()
  /** By how many came before. */
  readonly #due = new Heap<Item>()
  readonly #places = new Map<Item, Places<Item>>()
  #dues = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** In the place of what it wanted before. */
  put(item: Item, { now, steady }: Wanted): void {
    this.remove(item)
    const places: [Heap<Item>, Placed<Item>][] = []
    if (now !== undefined) places.push([this.#now, this.#now.add(now, item)])
    if (steady !== undefined) places.push([this.#steady, this.#steady.add(steady, item)])
    if (places.length > 0) this.#places.set(item, places)
  }

  remove(item: Item): void {
    for (const [heap, placed] of this.#places.get(item) ?? []) heap.remove(placed)
    this.#places.delete(item)
  }

  /** Sees what is due by now. Others have their turn. */
  async look(): Promise<void> {
    const [now, steady] = [this.#clock.now(), this.#clock.steady()]
    const pace = createPace(this.#clock)
    await this.#lookIn(this.#steady, steady, pace)
    await this.#lookIn(this.#now, now, pace)
  }

  async #lookIn(heap: Heap<Item>, until: number, pace: () => Promise<void>): Promise<void> {
    // Ends: what is due leaves the heap, and nothing comes into it but for another time.
    for (let first = heap.first; first !== undefined && first.at <= until; first = heap.first) {
      this.remove(first.item)
      this.#places.set(first.item, [[this.#due, this.#due.add(this.#dues++, first.item)]])
      await pace()
    }
  }

  /** Takes out what has been due for longest, of what was seen. */
  take(): Item | undefined {
    const first = this.#due.first
    if (first === undefined) return undefined
    this.remove(first.item)
    return first.item
  }

  /** In how many milliseconds there is more to see; none or less: now. */
  waitMs(): number {
    const { first: now } = this.#now
    const { first: steady } = this.#steady
    return Math.min(
      now === undefined ? Number.POSITIVE_INFINITY : now.at - this.#clock.now(),
      steady === undefined ? Number.POSITIVE_INFINITY : steady.at - this.#clock.steady(),
    )
  }
}
