import { smallBytes } from "../../core/budget.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { StoredEvent } from "../../core/log.ts"
import { EventWriter } from "../../formats/json-encode.ts"
import type { ApiContext } from "../context.ts"
import type { Share } from "../room.ts"
import type { Selection } from "./event-query.ts"

/** A page ends with the event that reaches this, so that a page of large events stays small in memory. */
const pageBytesMax = 4 * 1024 * 1024
/** What each takes besides its own bytes. */
const eventOverheadBytes = 256
/** A page whose filters let little through ends after this many events; its cursor goes on. */
const pageScanMax = 200_000

/** A page of events, its body still to be taken. */
export interface EventPage {
  readonly body: PageBody
  readonly next: Cursor
  /** Whether it ended before the log did. */
  readonly more: boolean
}

/** Events one a line, as a JSON array, or as the member `items` of an object, which is on one line. */
type PageForm = "lines" | "batch" | "items"

const opening = { batch: "[", items: '{"items":[' } as const

/** A page as it grows. What its events were read from is let go at once: it may be much larger than they are. */
export class PageBody {
  readonly #form: PageForm
  readonly #share: Share
  readonly #writer = new EventWriter(smallBytes)
  events = 0

  /** Takes room for the reading. Throws ProblemError where there is none: then nothing is read. */
  constructor(form: PageForm, share: Share) {
    this.#form = form
    this.#share = share
    const refusal = share.hold(smallBytes)
    if (refusal !== undefined) throw refusal
  }

  get isFull(): boolean {
    return this.#writer.length >= pageBytesMax
  }

  /** False where there is no room for it, and the page ends before it. Throws ProblemError where it is the first. */
  add(stored: StoredEvent): boolean {
    const refusal = this.#share.hold(this.#writer.length + bytesOf(stored))
    if (refusal !== undefined && this.events === 0) throw refusal
    if (refusal !== undefined) return false
    if (this.#form === "lines") this.#writer.line(stored.event, stored)
    else {
      this.#writer.text(this.events === 0 ? opening[this.#form] : ",")
      this.#writer.event(stored.event, stored, this.#form === "items")
    }
    this.events++
    return true
  }

  /** `rest`: the other members of an object, all ASCII. */
  take(rest: object = {}): Buffer {
    const form = this.#form
    if (form !== "lines") this.#writer.text(this.events === 0 ? `${opening[form]}]` : "]")
    if (form === "items") this.#writer.text(`,${JSON.stringify(rest).slice(1)}`)
    const bytes = this.#writer.take()
    // The buffer doubles as it grows: what is of no use is not held until the client has the rest.
    return bytes.length < bytes.buffer.byteLength * 0.75 ? Buffer.from(bytes) : bytes
  }
}

/** Where the room for answers is full the page ends early, or there is none. */
export async function readPage(
  context: ApiContext,
  selection: Selection,
  limit: number,
  body: PageBody,
): Promise<EventPage> {
  const { log } = context.engine
  const { address, from, passes } = selection
  let scanned = 0
  const given = typeof from === "string" && from !== "oldest" && from !== "newest"
  let next: Cursor = given ? from : await log.head(log.partitionOf(address))
  const page = (more: boolean): EventPage => ({ body, next, more })
  for await (const batch of log.read({ where: address, from, batchMax: passes ? 1_000 : Math.min(limit, 1_000) })) {
    await context.turns.next()
    for (const stored of batch.events) {
      if (passes !== undefined && !(await passes(stored.event))) continue
      if (!body.add(stored)) return page(true)
      next = stored.cursor
      if (body.events === limit || body.isFull) return page(true)
    }
    next = batch.next
    scanned += batch.events.length
    if (scanned >= pageScanMax) return page(true)
  }
  return page(false)
}

/** What an event holds in memory, about. */
function bytesOf({ event }: StoredEvent): number {
  return event.attributesJson.length + (event.data?.length ?? 0) + eventOverheadBytes
}
