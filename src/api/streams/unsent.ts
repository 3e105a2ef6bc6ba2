import type { ServerResponse } from "node:http"

/** Bytes that are written to one client or many, and counted once. */
export class Part {
  readonly bytes: Uint8Array
  writes = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** What waits for clients, of all of them together. */
export class Unsent {
  readonly #bytesMax: number
  /** Clients that take nothing at present, the longest first; each by what cuts it off. */
  readonly #stuck = new Set<() => void>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False where the client has to take what waits for it before there is more. */
  write(response: ServerResponse, part: Part): boolean {
    if (part.writes++ === 0) this.#bytes += part.bytes.length
    return response.write(part.bytes, () => {
      if (--part.writes === 0) this.#bytes -= part.bytes.length
    })
  }

  /** The client is to be cut off, should there be too much, until the answer is called. */
  stuck(cut: () => void): () => void {
    this.#stuck.add(cut)
    if (this.#bytes > this.#bytesMax) {
      const longest = this.#stuck.values().next().value
      if (longest !== undefined) {
        this.#stuck.delete(longest)
        longest()
      }
    }
    return () => this.#stuck.delete(cut)
  }
}
