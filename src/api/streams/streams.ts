import type { ServerResponse } from "node:http"
import type { Address } from "../../core/address.ts"
import type { Clock } from "../../core/clock.ts"
import type { Cursor } from "../../core/cursor.ts"
import type { Event } from "../../core/event.ts"
import type { EventLog } from "../../core/log.ts"
import type { Logger } from "../../core/logger.ts"
import { withinTime } from "../deadline.ts"
import { ProblemError } from "../errors.ts"
import { Listener } from "../listener.ts"
import { Places } from "../places.ts"
import { Slots, type Turns } from "../turns.ts"
import { LiveFeed, partBytes } from "./live-feed.ts"
import { Unsent } from "./unsent.ts"

/** Streams open at once, half of them of one tenant at most. */
const streamsMax = 2_000
/** What may wait for all clients of streams together. */
export const unsentBytesMax = 64 * 1024 * 1024
/** What the feeds of all topics keep together for clients that are a little behind. */
const keptBytesMax = 16 * 1024 * 1024
/** Clients that read the log at a time because they are further behind. */
const readersMax = 4
/** A feed may end while a client is about to join it. */
const findAttemptsMax = 3
/** Clients that were cut off are told of in one line of the log for so long. */
const tellingMs = 10_000

export interface StreamsOptions {
  readonly log: EventLog
  readonly clock: Clock
  readonly stop: AbortSignal
  readonly turns: Turns
  readonly logger: Logger | undefined
}

/** What a client asks for. */
export interface StreamRequest {
  readonly response: ServerResponse
  readonly address: Address
  /** The filters as the client wrote them: those who wrote the same share the work. */
  readonly filters: string
  readonly passes: ((event: Event) => Promise<boolean>) | undefined
}

interface OpenFeed {
  readonly topic: string
  readonly opening: Promise<LiveFeed>
}

/** Tells whether a topic has come to have more. */
export interface TopicWatch {
  /** How far its events have been seen; undefined where they cannot be followed any more. */
  readonly end: Cursor | undefined
  /** Resolves when there are more, or can be no more, or when `stop` aborts. */
  more(stop: AbortSignal): Promise<void>
  leave(): void
}

/** The audience of those who only watch: it gets no event. */
const watching = "watching"

function moreOf(feed: LiveFeed, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted || feed.ended) return resolve()
    const settle = () => {
      forget()
      stop.removeEventListener("abort", settle)
      resolve()
    }
    const forget = feed.whenMore(settle)
    stop.addEventListener("abort", settle)
  })
}

/** All streams of live events. */
export class Streams {
  readonly #options: StreamsOptions
  readonly #feeds = new Map<string, OpenFeed>()
  readonly #listeners = new Map<Listener, LiveFeed | undefined>()
  readonly #unsent = new Unsent(unsentBytesMax)
  readonly #readers = new Slots(readersMax)
  readonly #places = new Places(streamsMax, "streams", "close one, or try again later")
  #cut = 0
  #cutTold = 0

  constructor(options: StreamsOptions) {
    this.#options = options
    options.stop.addEventListener("abort", () => {
      for (const listener of this.#listeners.keys()) listener.end("the hub is stopping")
    })
  }

  figures(): Readonly<Record<"open" | "unsentBytes" | "cut", number>> {
    return { open: this.#places.open, unsentBytes: this.#unsent.bytes, cut: this.#cut }
  }

  /**
   * Runs a stream to its end. `begin` is called once nothing speaks against it any more: until then this throws what is
   * answered instead.
   */
  async run(asked: StreamRequest, from: () => Promise<Cursor>, begin: () => void): Promise<void> {
    const { stop, clock } = this.#options
    if (stop.aborted) throw overloaded("the hub is stopping; try again soon")
    const giveBack = this.#places.take(asked.address.tenant)
    try {
      const position = await withinTime(clock, from())
      await this.#attend(asked, position, begin)
    } finally {
      giveBack()
    }
  }

  /** Watches a topic for events that come. To be left, once. Throws ProblemError. */
  async watch(address: Address): Promise<TopicWatch> {
    const open = await this.#find(address)
    const feed = await open.opening
    feed.join(watching, undefined, async () => false)
    return {
      get end() {
        return feed.ended ? undefined : feed.end
      },
      more: (stop) => moreOf(feed, stop),
      leave: () => this.#leave(open, feed, watching),
    }
  }

  #leave(open: OpenFeed, feed: LiveFeed, name: string): void {
    if (!feed.leave(name)) return
    feed.stop()
    this.#forget(open)
  }

  async #attend({ response, address, filters, passes }: StreamRequest, from: Cursor, begin: () => void): Promise<void> {
    const { log, clock, turns } = this.#options
    const open = await this.#find(address)
    const feed = await open.opening
    const name = JSON.stringify([address.key ?? null, filters])
    const audience = feed.join(name, address.key, passes)
    const unsent = this.#unsent
    const readers = this.#readers
    const onCut = () => this.#tellCut()
    const listener = new Listener({
      response,
      address,
      feed,
      audience,
      from,
      log,
      clock,
      unsent,
      turns,
      readers,
      onCut,
    })
    this.#listeners.set(listener, feed)
    try {
      begin()
      if (this.#options.stop.aborted) listener.end("the hub is stopping")
      else if (feed.ended) listener.end(brokenOff)
      await listener.run()
    } catch (error) {
      this.#options.logger?.error({ err: error }, "a stream broke off")
      response.destroy()
    } finally {
      this.#listeners.delete(listener)
      this.#leave(open, feed, name)
    }
  }

  /** The topic's feed, one that has not ended. */
  async #find(address: Address): Promise<OpenFeed> {
    const topic = `${address.tenant}/${address.topic}`
    for (let attempt = 0; attempt < findAttemptsMax; attempt++) {
      const open = this.#feeds.get(topic) ?? this.#begin(topic, address)
      if (!(await withinTime(this.#options.clock, open.opening)).ended) return open
      this.#forget(open)
    }
    throw overloaded("the log cannot be followed at present; try again soon")
  }

  #begin(topic: string, address: Address): OpenFeed {
    const open = { topic, opening: this.#openFeed(address) }
    this.#feeds.set(topic, open)
    open.opening.then(
      (feed) => this.#follow(feed).finally(() => this.#forget(open)),
      () => this.#forget(open),
    )
    return open
  }

  #forget(open: OpenFeed): void {
    if (this.#feeds.get(open.topic) === open) this.#feeds.delete(open.topic)
  }

  async #openFeed(address: Address): Promise<LiveFeed> {
    const { log, turns } = this.#options
    const head = await log.head(log.partitionOf(address))
    const bytesMax = () => Math.max(partBytes, keptBytesMax / Math.max(1, this.#feeds.size))
    return new LiveFeed({ log, address, head, turns, bytesMax })
  }

  /** A feed that breaks ends its streams; their clients come back. */
  async #follow(feed: LiveFeed): Promise<void> {
    try {
      await feed.run()
    } catch (error) {
      this.#options.logger?.error({ err: error }, "the streams of a topic broke off")
    }
    for (const [listener, of] of this.#listeners) if (of === feed) listener.end(brokenOff)
  }

  /** One line for all that are cut off in a while. */
  #tellCut(): void {
    this.#cut++
    if (this.#cut - this.#cutTold > 1) return
    this.#options.clock.after(tellingMs, () => {
      const clients = this.#cut - this.#cutTold
      this.#cutTold = this.#cut
      this.#options.logger?.warn({ clients }, "clients of streams were cut off: they did not take what waited for them")
    })
  }
}

const brokenOff = "the log cannot be followed at present"

function overloaded(detail: string): ProblemError {
  return new ProblemError("overloaded", detail, { headers: { "retry-after": "5" } })
}
