/** A line that frames a chunk, extensions included, and one of the trailer. */
const lineBytesMax = 16_384
const sizeLine = /^([\da-fA-F]{1,12})[ \t]*(?:;.*)?$/

/** A body in chunks (RFC 9112, 7.1), as its bytes come. Extensions and trailers are passed over. */
export class Chunks {
  readonly #data: (bytes: Buffer) => void
  /** What of a line has come. */
  #line = ""
  /** Bytes of the present chunk that are still to come. */
  #left = 0
  #part: "size" | "data" | "after" | "trailer" = "size"

  constructor(data: (bytes: Buffer) => void) {
    this.#data = data
  }

  /** Reads from `at` on. Answers where the body ended, -1 where more is to come, and undefined where it is none in chunks. */
  read(bytes: Buffer, at: number): number | undefined {
    // Ends: each turn reads on in `bytes`, or answers.
    while (at < bytes.length) {
      if (this.#part === "data") {
        at = this.#takeData(bytes, at)
        continue
      }
      const end = bytes.indexOf(10, at)
      this.#line += bytes.toString("latin1", at, end < 0 ? bytes.length : end)
      if (this.#line.length > lineBytesMax) return undefined
      if (end < 0) return -1
      at = end + 1
      const next = this.#takeLine()
      if (next === undefined) return undefined
      if (next === "end") return at
      this.#part = next
    }
    return -1
  }

  #takeData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.#data(bytes.subarray(at, end))
    this.#left -= end - at
    if (this.#left === 0) this.#part = "after"
    return end
  }

  #takeLine(): "size" | "data" | "trailer" | "end" | undefined {
    if (!this.#line.endsWith("\r")) return undefined
    const line = this.#line.slice(0, -1)
    this.#line = ""
    if (this.#part === "after") return line === "" ? "size" : undefined
    if (this.#part === "trailer") return line === "" ? "end" : "trailer"
    const size = sizeLine.exec(line)
    if (size === null) return undefined
    this.#left = Number.parseInt(size[1]!, 16)
    return this.#left === 0 ? "trailer" : "data"
  }
}
