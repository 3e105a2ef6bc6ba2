/** Bytes that may be held at once, by everyone together. */
export class Budget {
  readonly #max: number
  #taken = 0

  constructor(bytesMax: number) {
    this.#max = bytesMax
  }

  get taken(): number {
    return this.#taken
  }

  /** False where they do not fit; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#taken + bytes > this.#max) return false
    this.#taken += bytes
    return true
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}
