import type { Address } from "../core/address.ts"
import type { Event } from "../core/event.ts"
import { type ExpectedLast, eventBytes, type Publisher } from "./publish.ts"
import { Refusal } from "./refusal.ts"
import type { Tally } from "./tally.ts"

/** Events, and bytes of them, that go to the log in one piece. */
export const pieceEventsMax = 1_000
export const pieceBytesMax = 1 << 20

export interface FeedOptions {
  readonly publisher: Publisher
  readonly address: Address
  readonly tally: Tally
  readonly expectedLast: ExpectedLast | undefined
  /** There is room again after {@link Feed.full}. */
  onRoom(): void
  /** After {@link Feed.finish}: every event has its result. */
  onDone(): void
  onBug(error: unknown): void
}

/**
 * The events of one request on their way to the log, in their order: one piece is being written while the next one
 * fills. With `expectedLast` all of them are one piece, stored whole or not at all.
 */
export class Feed {
  readonly #options: FeedOptions
  #events: Event[] = []
  #places: number[] = []
  #bytes = 0
  #writingBytes = 0
  #writing = false
  /** Flush again after what is being written. */
  #wanted = false
  #finished = false
  #abandoned = false
  #stopped: Refusal | undefined

  constructor(options: FeedOptions) {
    this.#options = options
  }

  /** The next piece is complete and the one before it is not written yet: bring no more for now. */
  get full(): boolean {
    return this.#writing && this.#isComplete
  }

  /** What of the events is in memory. */
  get heldBytes(): number {
    return this.#bytes + this.#writingBytes
  }

  /** Why nothing more is stored. */
  get stopped(): Refusal | undefined {
    return this.#stopped
  }

  get #isComplete(): boolean {
    return this.#events.length >= pieceEventsMax || this.#bytes >= pieceBytesMax
  }

  add(place: number, event: Event): void {
    if (this.#stopped !== undefined) {
      this.#options.tally.refuse(place, event.id, this.#stopped)
      return
    }
    this.#events.push(event)
    this.#places.push(place)
    this.#bytes += eventBytes(event)
    if (this.#options.expectedLast !== undefined) this.#checkWhole()
    else if (this.#isComplete) this.flush()
  }

  /** Writes what there is, as soon as the piece before it is written. */
  flush(): void {
    if (this.#events.length === 0 || (this.#options.expectedLast !== undefined && !this.#finished)) return
    this.#wanted = this.#writing
    if (this.#writing) return
    const events = this.#events
    const places = this.#places
    this.#writingBytes = this.#bytes
    this.#clear()
    this.#writing = true
    const { publisher, address, expectedLast } = this.#options
    publisher.publish(address, events, expectedLast).then(
      (published) => {
        this.#writing = false
        this.#writingBytes = 0
        this.#settle(events, places, published)
        this.#goOn()
      },
      (error: unknown) => {
        this.#writing = false
        this.#options.onBug(error)
      },
    )
  }

  /** No more events come. */
  finish(): void {
    this.#finished = true
    const { expectedLast, tally } = this.#options
    if (expectedLast !== undefined && tally.rejected > 0 && this.#events.length > 0) {
      this.#refuseWaiting(new Refusal("invalid-argument", "is valid, but with redcar-expected-last it is all or none"))
    }
    this.#goOn()
  }

  /** The sender has hung up: what waits is dropped, and nobody is called any more. */
  abandon(): void {
    this.#abandoned = true
    this.#clear()
  }

  #goOn(): void {
    if (this.#abandoned) return
    if (this.#finished || this.#wanted || this.#isComplete) this.flush()
    if (this.#writing) {
      if (!this.full && !this.#finished) this.#options.onRoom()
      return
    }
    if (this.#finished) this.#options.onDone()
    else this.#options.onRoom()
  }

  #settle(
    events: readonly Event[],
    places: readonly number[],
    published: Awaited<ReturnType<Publisher["publish"]>>,
  ): void {
    const { tally } = this.#options
    if (published instanceof Refusal) {
      // What comes later must not be stored before what was refused.
      this.#stopped = published
      tally.stop(published)
      for (let i = 0; i < events.length; i++) tally.refuse(places[i]!, events[i]!.id, published)
      this.#refuseWaiting(published)
      return
    }
    for (let i = 0; i < events.length; i++) {
      const one = published[i]!
      if (one instanceof Refusal) tally.refuse(places[i]!, events[i]!.id, one)
      else tally.accept(places[i]!, events[i]!.id, one)
    }
  }

  #checkWhole(): void {
    if (this.#events.length <= pieceEventsMax && this.#bytes <= pieceBytesMax) return
    const most = `${pieceEventsMax} events and ${pieceBytesMax} bytes`
    const refusal = new Refusal("too-large", `with redcar-expected-last a request may have ${most} at most`)
    this.#stopped = refusal
    this.#options.tally.stop(refusal)
    this.#refuseWaiting(refusal)
  }

  #refuseWaiting(refusal: Refusal): void {
    for (let i = 0; i < this.#events.length; i++) {
      this.#options.tally.refuse(this.#places[i]!, this.#events[i]!.id, refusal)
    }
    this.#clear()
  }

  #clear(): void {
    this.#events = []
    this.#places = []
    this.#bytes = 0
  }
}
