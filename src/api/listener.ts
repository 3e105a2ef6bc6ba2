import type { ServerResponse } from "node:http"
import type { Address } from "../core/address.ts"
import type { Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { EventLog } from "../core/log.ts"
import { EventWriter } from "../formats/json-encode.ts"
import { type Audience, type LiveFeed, partBytes, type Reader, writeFrame } from "./streams/live-feed.ts"
import { Part, type Unsent } from "./streams/unsent.ts"
import type { Slots, Turns } from "./turns.ts"

/** A line goes out this often at least, so that proxies and clients see that the stream lives. */
export const heartbeatMs = 15_000
/** A client that does not take what waits for it within this time is cut off. It resumes with Last-Event-ID and has missed nothing. */
export const stallMs = 30_000
/** How long it may still take to read why. */
const farewellMs = 5_000
/** When a client that was cut off comes back. */
const retryMs = 1_000
const batchMax = 256

export interface ListenerOptions {
  readonly response: ServerResponse
  readonly address: Address
  readonly feed: LiveFeed
  readonly audience: Audience
  readonly from: Cursor
  readonly log: EventLog
  readonly clock: Clock
  readonly unsent: Unsent
  readonly turns: Turns
  /** Who reads the log at a time. */
  readonly readers: Slots
  onCut(): void
}

/**
 * One client of a stream, from its first byte to its last. It takes what its feed has as text already, and reads the log
 * itself where it is further behind; nothing of that is held while the client does not take what waits for it.
 */
export class Listener implements Reader {
  readonly #options: ListenerOptions
  readonly audience: Audience
  position: Cursor
  round: number | undefined
  #gone = false
  #wake = () => {}
  #wroteAt: number

  constructor(options: ListenerOptions) {
    this.#options = options
    this.audience = options.audience
    this.position = options.from
    this.#wroteAt = options.clock.steady()
    options.response.once("close", () => this.#leave())
  }

  /** Resolves when it is over. */
  async run(): Promise<void> {
    const { feed, response } = this.#options
    const stopHeart = this.#startHeart()
    // The first id: a client that is cut off before its first event resumes from here.
    response.write(`retry: ${retryMs}\nid: ${this.position}\n\n`)
    try {
      // Ends: when the client is gone or the stream is ended; each time round waits for the client, the log or news.
      while (!this.#gone) {
        const place = feed.place(this)
        if (place.kind === "end") await this.#more()
        else if (place.kind === "behind") await this.#catchUp(place.until)
        else {
          if (place.part !== undefined) this.#write(place.part)
          this.position = place.next
          this.round!++
        }
        if (response.writableNeedDrain) await this.#drained()
      }
    } finally {
      stopHeart()
    }
  }

  /** Ends the stream with a line that says why. */
  end(why: string): void {
    if (!this.#options.response.destroyed) this.#options.response.end(`: ${why}\n\n`)
    this.#leave()
  }

  #leave(): void {
    this.#gone = true
    this.#wake()
  }

  #write(part: Part): void {
    const { unsent, response, clock } = this.#options
    this.#wroteAt = clock.steady()
    unsent.write(response, part)
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const forget = this.#options.feed.whenMore(resolve)
      this.#wake = () => {
        forget()
        resolve()
      }
    })
  }

  /** Reads the log itself, up to `until`, for as long as the client takes what is read at once. */
  async #catchUp(until: Cursor): Promise<void> {
    const { log, address, readers, turns } = this.#options
    const { passes } = this.audience
    const free = await readers.take()
    try {
      for await (const batch of log.read({ where: address, from: this.position, until, batchMax })) {
        await turns.next()
        const writer = new EventWriter(partBytes + 4096)
        for (const stored of batch.events) {
          if (passes === undefined || (await passes(stored.event))) writeFrame(writer, stored)
          if (writer.length < partBytes) continue
          if (!(await this.#takes(writer.take()))) {
            this.position = stored.cursor
            return
          }
        }
        this.position = batch.next
        if (!(await this.#takes(writer.take()))) return
      }
      if (log.compare(this.position, until) < 0) this.position = until
    } finally {
      free()
    }
  }

  /** False where the client does not take what it is sent at once, or is gone. */
  async #takes(bytes: Uint8Array): Promise<boolean> {
    const { response, turns } = this.#options
    if (this.#gone) return false
    if (bytes.length === 0) return true
    this.#write(new Part(bytes))
    if (response.writableNeedDrain) await turns.next()
    return !this.#gone && !response.writableNeedDrain
  }

  /** Waits until the client has taken what waits for it, or cuts it off. */
  async #drained(): Promise<void> {
    const { response, clock, unsent, onCut } = this.#options
    // What the operating system takes at once is no waiting.
    await this.#options.turns.next()
    if (this.#gone || !response.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      const settle = () => {
        cancel()
        unstuck()
        response.off("drain", settle)
        resolve()
      }
      this.#wake = settle
      response.once("drain", settle)
      const cancel = clock.after(stallMs, () => {
        onCut()
        this.end(`what waited was not taken within ${stallMs / 1_000} s; come back with Last-Event-ID`)
        clock.after(farewellMs, () => response.destroy())
      })
      const unstuck = unsent.stuck(() => {
        onCut()
        response.destroy()
      })
    })
  }

  /** Says that the stream lives, and how far it has come, whenever nothing was written for a while. */
  #startHeart(): () => void {
    const { clock, response, feed } = this.#options
    let cancel = () => {}
    const arm = (ms: number) => {
      cancel = clock.after(ms, () => {
        const quietMs = clock.steady() - this.#wroteAt
        if (quietMs < heartbeatMs) return arm(heartbeatMs - quietMs)
        // What waits for the client already says that the stream lives.
        if (!this.#gone && !response.writableNeedDrain) {
          this.#wroteAt = clock.steady()
          response.write(`:\nid: ${feed.place(this).kind === "end" ? this.#atEnd() : this.position}\n\n`)
        }
        arm(heartbeatMs)
      })
    }
    arm(heartbeatMs)
    return () => cancel()
  }

  /** Whoever has all that the feed has is where the feed is, or further. */
  #atEnd(): Cursor {
    const { feed, log } = this.#options
    return log.compare(this.position, feed.end) < 0 ? feed.end : this.position
  }
}
