import type { IncomingMessage, ServerResponse } from "node:http"
import type { Address } from "../core/address.ts"
import type { Budget } from "../core/budget.ts"
import type { Event } from "../core/event.ts"
import { InvalidEvent } from "../formats/invalid-event.ts"
import type { JsonDecoder } from "../formats/json-decode.ts"
import { LineSplitter } from "../formats/ndjson.ts"
import { drain } from "./answer.ts"
import { Feed, pieceBytesMax } from "./feed.ts"
import type { IngestLimits } from "./limits.ts"
import { type ExpectedLast, type Publisher, tooLarge } from "./publish.ts"
import { Refusal, refusalOfInvalid } from "./refusal.ts"
import { Tally } from "./tally.ts"

/** What one bulk request holds at most: a piece being written, one filling, and a line. */
export const bulkWindowBytes = 3 * pieceBytesMax

export interface BulkOptions {
  readonly publisher: Publisher
  readonly decoder: JsonDecoder
  readonly limits: IngestLimits
  readonly budget: Budget
  readonly address: Address
  readonly expectedLast: ExpectedLast | undefined
  /** What is done to each event before it is published. */
  readonly prepare: (event: Event) => Event
  /** Its share of the budget is taken. */
  readonly heldBytes: number
  onRefused(events: number): void
  onBug(error: unknown): void
}

/** Takes NDJSON as it comes: lines become events, events go to the log in pieces, and the socket waits for the disk. */
export function takeLines(req: IncomingMessage, res: ServerResponse, options: BulkOptions): void {
  new Bulk(req, res, options).start()
}

class Bulk {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #options: BulkOptions
  readonly #tally = new Tally()
  readonly #feed: Feed
  readonly #lines: LineSplitter
  #bytes = 0
  #invalid = 0
  #flushing = false
  /** Nothing more is read: the body has ended, or is too much. */
  #ended = false
  #released = false

  constructor(req: IncomingMessage, res: ServerResponse, options: BulkOptions) {
    this.#req = req
    this.#res = res
    this.#options = options
    const { publisher, address, expectedLast, limits } = options
    this.#feed = new Feed({
      publisher,
      address,
      tally: this.#tally,
      expectedLast,
      onRoom: () => {
        if (!this.#ended) req.resume()
      },
      onDone: () => this.#answer(),
      onBug: (error) => this.#fail(error),
    })
    this.#lines = new LineSplitter(
      limits.eventBytesMax * 2,
      (bytes, start, end) => this.#line(bytes, start, end),
      () => this.#refuse(undefined, tooLarge(limits.eventBytesMax)),
    )
  }

  start(): void {
    this.#req.on("data", (chunk: Buffer) => this.#chunk(chunk))
    this.#req.on("end", () => this.#end())
    this.#req.on("close", () => {
      if (this.#ended) return
      this.#ended = true
      this.#feed.abandon()
      this.#release()
    })
  }

  #chunk(chunk: Buffer): void {
    const { bodyBytesMax } = this.#options.limits.bulk
    this.#bytes += chunk.length
    try {
      if (this.#bytes > bodyBytesMax) {
        this.#cutOff(`a request may have ${bodyBytesMax} bytes at most (limits.bulk.bodyBytesMax)`)
      } else this.#lines.push(chunk)
    } catch (error) {
      this.#fail(error)
    }
    if (this.#ended) return
    if (this.#feed.full) this.#req.pause()
    this.#flushSoon()
  }

  /** What has come is written although more may follow: unless the body ends in this turn, for then it is one piece. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      if (!this.#ended) this.#feed.flush()
    })
  }

  #line(bytes: Buffer, start: number, end: number): boolean {
    const { decoder, limits } = this.#options
    const place = this.#tally.length
    if (place >= limits.bulk.eventsMax) {
      this.#cutOff(`a request may have ${limits.bulk.eventsMax} events at most (limits.bulk.eventsMax)`)
      return false
    }
    if (this.#feed.stopped !== undefined) return this.#refuse(undefined, this.#feed.stopped)
    const event: Event | InvalidEvent = decoder.decode(bytes, start, end)
    if (event instanceof InvalidEvent) return this.#refuse(event.id, refusalOfInvalid(event))
    this.#feed.add(this.#tally.next(), this.#options.prepare(event))
    return true
  }

  #refuse(id: string | undefined, refusal: Refusal): true {
    this.#tally.refuse(this.#tally.next(), id, refusal)
    this.#invalid++
    return true
  }

  /** Too much: what came before is stored, the rest is not read. */
  #cutOff(detail: string): void {
    const refusal = new Refusal("too-large", `${detail}; this line and those after it were not read: send them apart`)
    if (this.#options.expectedLast !== undefined) this.#tally.stop(refusal)
    this.#refuse(undefined, refusal)
    this.#ended = true
    drain(this.#req, this.#res)
    this.#feed.finish()
  }

  #end(): void {
    if (this.#ended) return
    try {
      this.#lines.end()
      if (this.#ended) return
      this.#ended = true
      this.#feed.finish()
    } catch (error) {
      this.#fail(error)
    }
  }

  #answer(): void {
    this.#release()
    if (this.#invalid > 0) this.#options.onRefused(this.#invalid)
    this.#tally.answer(this.#res)
  }

  #fail(error: unknown): void {
    this.#ended = true
    this.#feed.abandon()
    this.#release()
    this.#options.onBug(error)
  }

  #release(): void {
    if (this.#released) return
    this.#released = true
    this.#options.budget.give(this.#options.heldBytes)
  }
}
