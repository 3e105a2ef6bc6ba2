import type { Address } from "./address.ts"
import type { Event } from "./event.ts"

/** Hands over events that others put into the engine past the hub. Nobody has checked, wrapped or deduplicated them yet. */
export interface Inbox {
  /** Yields messages, until `stop` aborts. The engine gives a message again, to this process or another, until one settles it. */
  receive(stop: AbortSignal): AsyncIterable<readonly InboxMessage[]>
}

export interface InboxMessage {
  readonly address: Address
  /** The event, where the message is one; else its bytes, and what they are said to be. */
  readonly content: Event | RawContent
  /** Says that the event is in the log or, with a `refusal` that the engine keeps with it, why it never will be. */
  settle(refusal?: string): Promise<void>
  /** Has the engine give the message again later. */
  giveBack(): Promise<void>
}

export interface RawContent {
  readonly data: Uint8Array
  readonly contentType?: string
  /** Why it is no event as it stands, though it says that it is one. */
  readonly faults?: readonly string[]
}
