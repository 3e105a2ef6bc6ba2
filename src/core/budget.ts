/** Holders of no more than this find room also where larger ones find none. */
export const smallBytes = 64 * 1024

/**
 * Bytes that may be held at once, by everyone together. The last quarter is for those who hold little, so that a few who
 * hold much, or hold it for long, do not keep out everybody else.
 */
export class Budget {
  readonly #max: number
  #taken = 0

  constructor(bytesMax: number) {
    this.#max = bytesMax
  }

  get taken(): number {
    return this.#taken
  }

  /** False where they do not fit; nothing is taken then. `held`: what the same holder has already. */
  take(bytes: number, held = 0): boolean {
    const others = this.#taken - held
    const max = held + bytes > smallBytes && others > 0 ? this.#max * 0.75 : this.#max
    if (this.#taken + bytes > max) return false
    this.#taken += bytes
    return true
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}
