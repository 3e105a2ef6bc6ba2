import type { Address } from "../core/address.ts"
import type { Event } from "../core/event.ts"
import { InvalidEvent } from "../formats/invalid-event.ts"
import { Feed } from "./feed.ts"
import type { ExpectedLast, Publisher } from "./publish.ts"
import { refusalOfInvalid } from "./refusal.ts"
import { Tally } from "./tally.ts"

export interface BatchOptions {
  readonly publisher: Publisher
  readonly address: Address
  readonly expectedLast: ExpectedLast | undefined
  /** What is done to each event before it is published. */
  readonly prepare: (event: Event) => Event
  /** Every item has its result; `invalid` of them were no events. */
  onDone(tally: Tally, invalid: number): void
  onBug(error: unknown): void
}

/** Publishes what a batch holds, the valid in pieces and in order. */
export function publishItems(items: readonly (Event | InvalidEvent)[], options: BatchOptions): void {
  const { publisher, address, expectedLast, onBug } = options
  const tally = new Tally()
  let invalid = 0
  let next = 0
  const bring = () => {
    while (next < items.length && !feed.full) {
      const item = items[next++]!
      const place = tally.next()
      if (item instanceof InvalidEvent) {
        tally.refuse(place, item.id, refusalOfInvalid(item))
        invalid++
      } else feed.add(place, options.prepare(item))
    }
    if (next === items.length) feed.finish()
  }
  const feed = new Feed({
    publisher,
    address,
    tally,
    expectedLast,
    onRoom: bring,
    onDone: () => options.onDone(tally, invalid),
    onBug,
  })
  bring()
}
