import type { Address } from "./address.ts"
import type { Event } from "./event.ts"

/** Events that others put into the engine past the hub: not checked, wrapped or recognised as duplicates yet. */
export interface Inbox {
  /** Each is given until it is settled: by this process, or another one if this one dies. Ends when `stop` aborts. */
  receive(stop: AbortSignal): AsyncIterable<readonly InboxMessage[]>
}

export interface InboxMessage {
  readonly address: Address
  /** The event, where the message is one; else its bytes, and what they are said to be. */
  readonly content: Event | RawContent
  /** It is in the log, or never can be; `refusal` says why, and is kept with it. */
  settle(refusal?: string): Promise<void>
  /** It is given again later. */
  giveBack(): Promise<void>
}

export interface RawContent {
  readonly data: Uint8Array
  readonly contentType?: string
  /** Why it is no event as it stands, though it says that it is one. */
  readonly faults?: readonly string[]
}
