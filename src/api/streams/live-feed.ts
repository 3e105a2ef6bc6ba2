import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Event } from "../../core/event.ts"
import type { EventLog, StoredEvent } from "../../core/log.ts"
import { EventWriter } from "../../formats/json-encode.ts"
import type { Turns } from "../turns.ts"
import { Part } from "./unsent.ts"

/** Events are written in parts of about so many bytes; a larger event is a part of its own. */
export const partBytes = 64 * 1024
const batchMax = 256
/** Judgements of events by filters in one turn. */
const judgedAtOnce = 10_000
/** Clients that are woken in one turn. */
const wokenAtOnce = 50

/** An event as a stream's clients get it. */
export function writeFrame(writer: EventWriter, stored: StoredEvent): void {
  writer.text(`id: ${stored.cursor}\ndata: `)
  writer.event(stored.event, stored, true)
  writer.text("\n\n")
}

/** Clients that get the same events of a topic. */
export interface Audience {
  readonly key: string | undefined
  readonly passes: ((event: Event) => Promise<boolean>) | undefined
  /** From which round on it has a part. */
  since: number
  listeners: number
}

interface Round {
  /** After which place it begins, and where it ends. */
  readonly from: Cursor
  next: Cursor
  readonly bytes: number
  readonly parts: ReadonlyMap<Audience, Part>
}

/** Where a client is: at the end, at a round, or at a place whose events up to `until` have to be read from the log. */
export type Place =
  | { readonly kind: "end" }
  | { readonly kind: "round"; readonly next: Cursor; readonly part: Part | undefined }
  | { readonly kind: "behind"; readonly until: Cursor }

/** A client's place, which is its own to keep. */
export interface Reader {
  readonly audience: Audience
  position: Cursor
  /** The number of the round that is next, where that is known. */
  round: number | undefined
}

export interface LiveFeedOptions {
  readonly log: EventLog
  readonly address: Address
  /** Where it begins. */
  readonly head: Cursor
  readonly turns: Turns
  /** What the rounds that it keeps may hold. */
  bytesMax(): number
}

/**
 * A topic's events as they come, read and written as text once for all clients. The last ones are kept, in rounds, for
 * clients that are a little behind; who is further behind reads the log and comes back.
 */
export class LiveFeed {
  readonly #options: LiveFeedOptions
  readonly #audiences = new Map<string, Audience>()
  readonly #over = new AbortController()
  readonly #rounds: Round[] = []
  /** The number of the first round that is kept. */
  #first = 0
  #bytes = 0
  #end: Cursor
  /** Rounds are being made, which whoever comes now has no part of. */
  #making = false
  readonly #idle = new Set<() => void>()

  constructor(options: LiveFeedOptions) {
    this.#options = options
    this.#end = options.head
  }

  /** It follows the log no more. */
  get ended(): boolean {
    return this.#over.signal.aborted
  }

  /** The number of the next round. */
  get #next(): number {
    return this.#first + this.#rounds.length
  }

  get end(): Cursor {
    return this.#end
  }

  /** `name` tells audiences apart. */
  join(name: string, key: string | undefined, passes: Audience["passes"]): Audience {
    let audience = this.#audiences.get(name)
    if (audience === undefined) {
      audience = { key, passes, since: this.#making ? Number.POSITIVE_INFINITY : this.#next, listeners: 0 }
      this.#audiences.set(name, audience)
    }
    audience.listeners++
    return audience
  }

  /** True when nobody is left. */
  leave(name: string): boolean {
    const audience = this.#audiences.get(name)
    if (audience !== undefined && --audience.listeners === 0) this.#audiences.delete(name)
    return this.#audiences.size === 0
  }

  /** Follows the log until {@link stop}. */
  async run(): Promise<void> {
    const { log, address } = this.#options
    const { tenant, topic } = address
    const follow = this.#over.signal
    try {
      for await (const { events, next } of log.read({ where: { tenant, topic }, from: this.#end, follow, batchMax })) {
        await this.#take(events)
        this.#end = next
        const last = this.#rounds.at(-1)
        if (last !== undefined) last.next = next
        if (events.length > 0) await this.#wake()
      }
    } finally {
      this.stop()
    }
  }

  stop(): void {
    this.#over.abort()
    for (const wake of this.#takeIdle()) wake()
  }

  /** Calls `wake`, once, when there is more, unless the answer is called before. */
  whenMore(wake: () => void): () => void {
    this.#idle.add(wake)
    return () => this.#idle.delete(wake)
  }

  #takeIdle(): readonly (() => void)[] {
    const idle = [...this.#idle]
    this.#idle.clear()
    return idle
  }

  place(reader: Reader): Place {
    const { log } = this.#options
    const { position, audience } = reader
    const known = reader.round === undefined ? undefined : this.#at(reader, reader.round)
    if (known !== undefined) return known
    reader.round = undefined
    const ahead = log.compare(position, this.#end)
    if (ahead === 0 && this.#next >= audience.since) reader.round = this.#next
    if (ahead >= 0) return { kind: "end" }
    const since = Math.max(0, audience.since - this.#first)
    const first = this.#rounds[since]
    if (first === undefined) return { kind: "behind", until: this.#end }
    if (log.compare(position, first.from) < 0) return { kind: "behind", until: first.from }
    let at = this.#rounds.length - 1
    while (at > since && log.compare(position, this.#rounds[at]!.from) < 0) at--
    if (log.compare(position, this.#rounds[at]!.from) > 0) return { kind: "behind", until: this.#rounds[at]!.next }
    return this.#at(reader, this.#first + at)!
  }

  /** Undefined where the round is not kept any more. */
  #at(reader: Reader, number: number): Place | undefined {
    const at = number - this.#first
    if (at < 0) return undefined
    const round = this.#rounds[at]
    reader.round = number
    if (round === undefined) return { kind: "end" }
    return { kind: "round", next: round.next, part: round.parts.get(reader.audience) }
  }

  async #take(events: readonly StoredEvent[]): Promise<void> {
    for (let i = 0; i < events.length; ) {
      await this.#options.turns.next()
      const audiences = [...this.#audiences.values()]
      const some = events.slice(i, i + Math.max(1, Math.floor(judgedAtOnce / Math.max(1, audiences.length))))
      this.#making = true
      const verdicts = await Promise.all(audiences.map((audience) => judge(audience, some)))
      this.#making = false
      this.#addRounds(some, audiences, verdicts)
      for (const audience of this.#audiences.values()) audience.since = Math.min(audience.since, this.#next)
      i += some.length
    }
  }

  #addRounds(events: readonly StoredEvent[], audiences: readonly Audience[], verdicts: readonly Verdicts[]): void {
    for (let i = 0; i < events.length; ) {
      const frames = new Frames(audiences)
      while (i < events.length && frames.length < partBytes) {
        frames.take(
          events[i]!,
          verdicts.map((verdict) => verdict[i]!),
        )
        i++
      }
      this.#add({ from: this.#end, next: events[i - 1]!.cursor, bytes: frames.length, parts: frames.parts() })
    }
  }

  #add(round: Round): void {
    this.#rounds.push(round)
    this.#end = round.next
    this.#bytes += round.bytes
    const bytesMax = this.#options.bytesMax()
    while (this.#bytes > bytesMax && this.#rounds.length > 1) {
      this.#bytes -= this.#rounds.shift()!.bytes
      this.#first++
    }
  }

  async #wake(): Promise<void> {
    const idle = this.#takeIdle()
    for (let i = 0; i < idle.length; i += wokenAtOnce) {
      await this.#options.turns.next()
      for (const wake of idle.slice(i, i + wokenAtOnce)) wake()
    }
  }
}

/** Of each event, whether an audience gets it. */
type Verdicts = readonly boolean[]

async function judge({ key, passes }: Audience, events: readonly StoredEvent[]): Promise<Verdicts> {
  const verdicts: boolean[] = []
  for (const { address, event } of events) {
    const isAsked = key === undefined || key === address.key
    verdicts.push(isAsked && (passes === undefined || (await passes(event))))
  }
  return verdicts
}

/** Events as text, and who gets which. */
class Frames {
  readonly #audiences: readonly Audience[]
  readonly #writer = new EventWriter(partBytes + 4096)
  readonly #ends: number[] = [0]
  readonly #wanted: readonly number[][]

  constructor(audiences: readonly Audience[]) {
    this.#audiences = audiences
    this.#wanted = audiences.map(() => [])
  }

  get length(): number {
    return this.#ends.at(-1)!
  }

  /** `verdicts`: which audiences get it. */
  take(stored: StoredEvent, verdicts: Verdicts): void {
    if (!verdicts.includes(true)) return
    const frame = this.#ends.length - 1
    for (const [i, frames] of this.#wanted.entries()) if (verdicts[i]) frames.push(frame)
    writeFrame(this.#writer, stored)
    this.#ends.push(this.#writer.length)
  }

  parts(): ReadonlyMap<Audience, Part> {
    const count = this.#ends.length - 1
    const bytes = this.#writer.take()
    const whole = new Part(bytes)
    const parts = new Map<Audience, Part>()
    this.#audiences.forEach((audience, i) => {
      const frames = this.#wanted[i]!
      if (frames.length === 0) return
      const some = () => Buffer.concat(frames.map((at) => bytes.subarray(this.#ends[at]!, this.#ends[at + 1]!)))
      parts.set(audience, frames.length === count ? whole : new Part(some()))
    })
    return parts
  }
}
