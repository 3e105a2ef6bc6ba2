/**
 * Finds where a sequence of tests first holds for neighbouring items, in one pass: bits say which beginnings of the sequence
 * hold for the items that end here. Each item costs one operation for every 32 tests, whatever came before.
 */
export class Sequence {
  /** Numbers that a mask takes. */
  readonly words: number
  readonly #state: Int32Array
  readonly #goal: number

  /** `length`: how many tests, one at least. */
  constructor(length: number) {
    this.words = Math.ceil(length / 32)
    this.#state = new Int32Array(this.words)
    this.#goal = 1 << ((length - 1) % 32)
  }

  /** Nothing has come yet. */
  restart(): void {
    this.#state.fill(0)
  }

  /**
   * Takes the next item: the bits from `masks[from]` on say which of the tests it passes. True where the last items, this
   * one included, pass all of them in their order.
   */
  take(masks: Int32Array, from: number): boolean {
    const state = this.#state
    const words = this.words
    let carry = 1
    for (let at = 0; at < words; at++) {
      const bits = state[at]!
      state[at] = ((bits << 1) | carry) & masks[from + at]!
      carry = bits >>> 31
    }
    return (state[words - 1]! & this.#goal) !== 0
  }
}

/** Sets the bit of one test. */
export function setBit(masks: Int32Array, from: number, test: number): void {
  masks[from + (test >> 5)]! |= 1 << (test & 31)
}
