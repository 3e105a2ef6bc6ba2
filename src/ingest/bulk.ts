import type { IncomingMessage, ServerResponse } from "node:http"
import type { Address } from "../core/address.ts"
import type { Budget } from "../core/budget.ts"
import type { Event } from "../core/event.ts"
import { InvalidEvent } from "../formats/invalid-event.ts"
import type { JsonDecoder } from "../formats/json-decode.ts"
import { LineSplitter } from "../formats/ndjson.ts"
import { cut, drain } from "./answer.ts"
import { noRoom } from "./body.ts"
import { Feed } from "./feed.ts"
import type { IngestLimits } from "./limits.ts"
import { type Pace, type Paced, type Paces, tooSlow } from "./pace.ts"
import { type ExpectedLast, type Publisher, tooLarge } from "./publish.ts"
import { Refusal, refusalOfInvalid } from "./refusal.ts"
import { Tally } from "./tally.ts"

export interface BulkOptions {
  readonly publisher: Publisher
  readonly decoder: JsonDecoder
  readonly limits: IngestLimits
  readonly budget: Budget
  readonly paces: Paces
  readonly address: Address
  readonly expectedLast: ExpectedLast | undefined
  /** What is done to each event before it is published. */
  readonly prepare: (event: Event) => Event
  onRefused(events: number): void
  onBug(error: unknown): void
}

/** Takes NDJSON as it comes: lines become events, events go to the log in pieces, and the socket waits for the disk. */
export function takeLines(req: IncomingMessage, res: ServerResponse, options: BulkOptions): void {
  new Bulk(req, res, options).start()
}

class Bulk implements Paced {
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
  /** What it has of the budget: events, the beginning of a line, and the answer. */
  #held = 0
  readonly #pace: Pace

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
        this.#account()
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
    this.#pace = options.paces.watch(this)
  }

  /** While the feed is full the hub is what it waits for. */
  get holds(): boolean {
    return this.#lines.begunBytes > 0
  }

  onSlow(): void {
    if (this.#ended) return
    this.#cutOff(tooSlow)
  }

  start(): void {
    this.#req.on("data", (chunk: Buffer) => this.#chunk(chunk))
    this.#req.on("end", () => this.#end())
    this.#req.on("close", () => {
      if (this.#ended) return
      this.#stopReading()
      this.#feed.abandon()
      this.#release()
    })
  }

  #chunk(chunk: Buffer): void {
    const { bodyBytesMax } = this.#options.limits.bulk
    this.#bytes += chunk.length
    this.#pace.took(chunk.length)
    try {
      if (this.#bytes > bodyBytesMax) {
        this.#cutOff(tooMuch(`a request may have ${bodyBytesMax} bytes at most (limits.bulk.bodyBytesMax)`))
      } else if (this.#take(chunk.length)) this.#lines.push(chunk)
      else this.#cutOff(noRoom)
    } catch (error) {
      this.#fail(error)
    }
    if (this.#ended) return
    this.#account()
    if (this.#feed.full) {
      this.#pace.excuse()
      this.#req.pause()
    }
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
      this.#cutOff(tooMuch(`a request may have ${limits.bulk.eventsMax} events at most (limits.bulk.eventsMax)`))
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

  #take(bytes: number): boolean {
    if (!this.#options.budget.take(bytes, this.#held)) return false
    this.#held += bytes
    return true
  }

  /** Brings what it has of the budget to what it holds; where there is no room for that, the next chunk finds none. */
  #account(): void {
    if (this.#released) return
    const more = this.#feed.heldBytes + this.#lines.begunBytes + this.#tally.bytes - this.#held
    if (more > 0) this.#take(more)
    else {
      this.#options.budget.give(-more)
      this.#held += more
    }
  }

  /** What came before is stored, the rest is not read. */
  #cutOff(refusal: Refusal): void {
    if (refusal.code !== "too-large" || this.#options.expectedLast !== undefined) this.#tally.stop(refusal)
    this.#refuse(undefined, refusal)
    this.#stopReading()
    if (refusal.code === "too-slow") cut(this.#req, this.#res)
    else drain(this.#req, this.#res)
    this.#feed.finish()
  }

  #stopReading(): void {
    this.#ended = true
    this.#pace.end()
  }

  #end(): void {
    if (this.#ended) return
    try {
      this.#lines.end()
      if (this.#ended) return
      this.#stopReading()
      this.#feed.finish()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The answer may be large: it counts until it is sent. */
  #answer(): void {
    this.#account()
    this.#res.once("close", () => this.#release())
    if (this.#invalid > 0) this.#options.onRefused(this.#invalid)
    this.#tally.answer(this.#res)
  }

  #fail(error: unknown): void {
    this.#stopReading()
    this.#feed.abandon()
    this.#release()
    this.#options.onBug(error)
  }

  #release(): void {
    if (this.#released) return
    this.#released = true
    this.#options.budget.give(this.#held)
  }
}

function tooMuch(detail: string): Refusal {
  return new Refusal("too-large", `${detail}; this line and those after it were not read: send them apart`)
}
