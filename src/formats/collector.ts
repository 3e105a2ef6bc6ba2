const none = Buffer.alloc(0)

/**
 * Joins chunks into one run of bytes. A single chunk is answered as it is; more are copied into a buffer that doubles, so
 * that a body sent byte by byte costs no more memory than twice its length.
 */
export class Collector {
  #bytes: Buffer = none
  /** The buffer was made here, so there may be room behind `length`. */
  #own = false
  length = 0

  push(chunk: Buffer): void {
    if (this.length === 0) {
      this.#bytes = chunk
      this.#own = false
      this.length = chunk.length
      return
    }
    const needed = this.length + chunk.length
    if (!this.#own || needed > this.#bytes.length) {
      const more = Buffer.allocUnsafe(needed * 2)
      more.set(this.#own ? this.#bytes.subarray(0, this.length) : this.#bytes)
      this.#bytes = more
      this.#own = true
    }
    this.#bytes.set(chunk, this.length)
    this.length = needed
  }

  /** What was collected, which is the caller's from now on; collecting begins anew. */
  take(): Buffer {
    const taken = this.#bytes.length === this.length ? this.#bytes : this.#bytes.subarray(0, this.length)
    this.drop()
    return taken
  }

  /** Forgets what was collected. */
  drop(): void {
    this.#bytes = none
    this.#own = false
    this.length = 0
  }
}
