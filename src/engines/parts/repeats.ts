import type { Event } from "../../core/event.ts"

/** Which events of one call repeat an earlier one of it. Asked in rising order; nothing is kept until the first question. */
export class Repeats {
  readonly #events: readonly Event[]
  #first: Map<string, number> | undefined
  #seen = 0

  constructor(events: readonly Event[]) {
    this.#events = events
  }

  /** The first event of the call that is equal to the `i`th and before it. */
  before(i: number): number | undefined {
    this.#first ??= new Map()
    for (; this.#seen < i; this.#seen++) {
      const name = nameOf(this.#events[this.#seen]!)
      if (!this.#first.has(name)) this.#first.set(name, this.#seen)
    }
    return this.#first.get(nameOf(this.#events[i]!))
  }
}

function nameOf({ source, id }: Event): string {
  return `${source.length}:${source}${id}`
}
