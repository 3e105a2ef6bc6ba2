import { Collector } from "./collector.ts"

/** Takes one line: the bytes from `start` to `end`, without the newline, not blank. False: no more lines, please. */
export type OnLine = (bytes: Buffer, start: number, end: number) => boolean

/**
 * Cuts chunks into lines, with memory for one line of `lineBytesMax` at most. A longer one is reported by `onLong` as soon
 * as that is known, and passed over. Blank lines are passed over. A line within one chunk is not copied.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  readonly #onLine: OnLine
  readonly #onLong: () => boolean
  /** The beginning of a line whose end has not come. */
  readonly #begun = new Collector()
  /** The line is too long; its end has not come. */
  #skipping = false
  #stopped = false

  constructor(lineBytesMax: number, onLine: OnLine, onLong: () => boolean) {
    this.#lineBytesMax = lineBytesMax
    this.#onLine = onLine
    this.#onLong = onLong
  }

  /** What is held of a line whose end has not come. */
  get begunBytes(): number {
    return this.#begun.length
  }

  /** The lines keep the chunk: it must not be changed afterwards. */
  push(chunk: Buffer): void {
    let start = 0
    while (!this.#stopped) {
      const newline = chunk.indexOf(0x0a, start)
      if (newline < 0) break
      if (this.#skipping) this.#skipping = false
      else if (this.#begun.length === 0) this.#line(chunk, start, newline)
      else {
        this.#begun.push(chunk.subarray(start, newline))
        this.#lineBegun()
      }
      start = newline + 1
    }
    if (this.#stopped || this.#skipping || start === chunk.length) return
    this.#begun.push(start === 0 ? chunk : chunk.subarray(start))
    if (this.#begun.length <= this.#lineBytesMax) return
    this.#begun.drop()
    this.#skipping = true
    this.#stopped = !this.#onLong()
  }

  /** The last line needs no newline. */
  end(): void {
    if (!this.#stopped && this.#begun.length > 0) this.#lineBegun()
  }

  #lineBegun(): void {
    const line = this.#begun.take()
    this.#line(line, 0, line.length)
  }

  #line(bytes: Buffer, start: number, end: number): void {
    if (isBlank(bytes, start, end)) return
    const more = end - start > this.#lineBytesMax ? this.#onLong() : this.#onLine(bytes, start, end)
    this.#stopped = !more
  }
}

function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]
    if (byte !== 0x20 && byte !== 0x0d && byte !== 0x09) return false
  }
  return true
}
