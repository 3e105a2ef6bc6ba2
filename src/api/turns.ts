/**
 * Lets the small pieces of many requests' work have their turn, one in each turn of the event loop: whatever else the hub
 * does waits for one piece at most, however many requests there are.
 */
export class Turns {
  readonly #waiting: (() => void)[] = []

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) setImmediate(this.#run)
    })
  }

  readonly #run = (): void => {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) setImmediate(this.#run)
  }
}

/** So many at a time; the others wait in their order. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  /** As {@link take}, for as long as `work` takes. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const free = await this.take()
    try {
      return await work()
    } finally {
      free()
    }
  }

  /** To be given back, once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
