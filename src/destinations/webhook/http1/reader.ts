import { Chunks } from "./chunks.ts"
import { type AnswerHead, noStatusLine, parseHead } from "./head.ts"

/** A head is no longer than this, an interim one as well. */
export const headBytesMax = 16_384
/** All that may come for one request: heads, interim answers, the body, and how it is cut into chunks. */
export const answerBytesMax = 256 * 1024
/** The same without the body, where more of that is kept. */
const besideBytesMax = 128 * 1024
/** Interim answers (1xx) that are passed over before the answer. */
export const interimMax = 16

const headEnd = "\r\n\r\n"
const version = "HTTP/1."

/** Is told of an answer as it comes; either `end` or `fault` is the last. */
export interface AnswerSink {
  /** What it keeps of the body, at most; may be more once there is a head. */
  readonly keptBytesMax: number
  head(head: AnswerHead): void
  /** A part of the body. */
  data(bytes: Buffer): void
  /** `reusable`: the connection may carry another request. */
  end(reusable: boolean): void
  /** What comes is no answer, or too much of one; `detail` says why. */
  fault(detail: string): void
}

/**
 * Reads the answer to one request from what a connection brings. Interim answers are passed over, also those that nobody
 * asked for (RFC 9110, 15.2): a receiver that says `100 Continue` on its own loses nothing.
 */
export class AnswerReader {
  readonly #sink: AnswerSink
  /** The beginning of a head that has not come whole. */
  #held: Buffer | undefined
  #head: AnswerHead | undefined
  /** Bytes of a body of known length that are still to come. */
  #left = 0
  #chunks: Chunks | undefined
  #bytes = 0
  #interim = 0
  #over = false

  constructor(sink: AnswerSink) {
    this.#sink = sink
  }

  read(bytes: Buffer): void {
    if (this.#over) return
    this.#bytes += bytes.length
    const bytesMax = Math.max(answerBytesMax, this.#sink.keptBytesMax + besideBytesMax)
    if (this.#bytes > bytesMax) {
      this.#fault(`more than ${Math.floor(bytesMax / 1024)} KiB came, and no end of the answer`)
      return
    }
    const all = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes])
    this.#held = undefined
    let at = 0
    // Ends: each turn reads on in `all`, or there is a head.
    while (this.#head === undefined) {
      const end = this.#headEnd(all, at)
      if (end === undefined) return
      this.#takeHead(all.toString("latin1", at, end))
      if (this.#over) return
      at = end + headEnd.length
    }
    this.#readBody(this.#head, all, at)
  }

  /** The other side ended the connection: answers whether that ended the answer. */
  close(): boolean {
    if (this.#over || this.#head?.framing.kind !== "close") return false
    this.#end(false)
    return true
  }

  /** Where the head that begins at `at` ends; undefined where it is not whole, and is held, or is none. */
  #headEnd(all: Buffer, at: number): number | undefined {
    const found = all.indexOf(headEnd, at, "latin1")
    const end = found < 0 ? all.length : found
    if (end - at > headBytesMax) this.#fault(`the head of its answer is longer than ${headBytesMax / 1024} KiB`)
    else if (found >= 0) return found
    else if (!version.startsWith(all.toString("latin1", at, Math.min(end, at + version.length))))
      this.#malformed(noStatusLine)
    else this.#held = all.subarray(at)
    return undefined
  }

  #takeHead(text: string): void {
    const head = parseHead(text)
    if ("fault" in head) this.#malformed(head.fault)
    else if (head.status === 101) this.#malformed("it switches protocols, which nobody asked for")
    else if (head.status < 200) {
      if (++this.#interim > interimMax) this.#fault(`more than ${interimMax} interim answers came before an answer`)
    } else {
      this.#head = head
      if (head.framing.kind === "length") this.#left = head.framing.bytes
      if (head.framing.kind === "chunked") this.#chunks = new Chunks((bytes) => this.#sink.data(bytes))
      this.#sink.head(head)
    }
  }

  #readBody({ framing, persistent }: AnswerHead, all: Buffer, at: number): void {
    if (framing.kind === "close") {
      if (at < all.length) this.#sink.data(all.subarray(at))
      return
    }
    const end = this.#chunks ? this.#chunks.read(all, at) : this.#readLength(all, at)
    if (end === undefined) this.#malformed("its chunks are malformed")
    // What comes beyond the answer is the answer to nothing.
    else if (end >= 0) this.#end(persistent && end === all.length)
  }

  /** As {@link Chunks.read}. */
  #readLength(all: Buffer, at: number): number {
    const end = Math.min(all.length, at + this.#left)
    if (end > at) this.#sink.data(all.subarray(at, end))
    this.#left -= end - at
    return this.#left === 0 ? end : -1
  }

  #end(reusable: boolean): void {
    this.#over = true
    this.#sink.end(reusable)
  }

  #malformed(why: string): void {
    this.#fault(`what it answered is no HTTP/1.1: ${why}`)
  }

  #fault(detail: string): void {
    this.#over = true
    this.#sink.fault(detail)
  }
}
