import { type Address, attemptsTopic, deadLettersTopic, isReservedTopic, parseTopic } from "../core/address.ts"
import type { Chance, Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { Event } from "../core/event.ts"
import type { Appended } from "../core/log.ts"
import { newTopic, type Topic } from "../core/resources.ts"
import { quoteJson } from "../formats/json-encode.ts"
import type { MediaType } from "../formats/media-type.ts"
import { Memo } from "../formats/memo.ts"
import { type Accepted, delayOf, mayBeDelayed, notConditional, putDelayed } from "./delay.ts"
import { Refusal, type RefusalCode, refusalOfError } from "./refusal.ts"
import type { Topics } from "./topics.ts"

export interface PublishLimits {
  /** Attributes as JSON and data of one event. */
  readonly eventBytesMax: number
  /** Whether the first publish to a topic makes it. */
  readonly topicsAutoCreate: boolean
}

/** What became of events. */
export interface PublishCounts {
  /** Stored now. */
  readonly accepted: number
  /** Recognised: stored before. */
  readonly duplicates: number
  readonly refused: number
  /** Why. */
  readonly code?: RefusalCode
  /** Of those stored now. */
  readonly bytes: number
}

export interface PublishObserver {
  published(counts: PublishCounts): void
  /** A request was answered, its events being durable, so long after its head had come. */
  answered?(ms: number): void
}

export interface PublisherOptions {
  readonly engine: Pick<Engine, "log">
  readonly topics: Topics
  readonly clock: Clock
  readonly chance: Chance
  readonly limits: PublishLimits
  readonly observe?: PublishObserver
}

/** What became of one event. */
export type Published = Accepted | Refusal

/** The condition of a publish: the address's newest event is this one; `"none"`: it has no event. */
export type ExpectedLast = Cursor | "none"

/** The one way in: every protocol brings its events here. */
export interface Publisher {
  /** The address that a topic's text names (`orders`, `orders:123`), if events may be published there. */
  address(tenant: string, topic: string): Address | Refusal
  /** Raw input as an event, by the topic's settings; `kind` says how its body reads in JSON. Default `id`: a fresh one. */
  wrap(address: Address, type: MediaType | undefined, body: Uint8Array, kind: Event["dataKind"], id?: string): Event
  /**
   * Resolves when the events are on disk: what became of each, in order, or one refusal where nothing was stored.
   * With `expectedLast` it is all or none. Rejects only for bugs.
   */
  publish(
    address: Address,
    events: readonly Event[],
    expectedLast?: ExpectedLast,
  ): Promise<readonly Published[] | Refusal>
}

/** Makes the publisher of a hub. */
export function createPublisher(options: PublisherOptions): Publisher {
  return new TopicPublisher(options)
}

class TopicPublisher implements Publisher {
  readonly #options: PublisherOptions
  /** By tenant and topic's text; one object each, so that the engine knows it again. */
  readonly #addresses = new Memo((name) =>
    addressOf(name.slice(0, name.indexOf(" ")), name.slice(name.indexOf(" ") + 1)),
  )

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  address(tenant: string, text: string): Address | Refusal {
    return this.#addresses.of(`${tenant} ${text}`)
  }

  wrap(
    address: Address,
    type: MediaType | undefined,
    body: Uint8Array,
    kind: Event["dataKind"],
    id = this.#options.chance.id(),
  ): Event {
    const { topics, clock } = this.#options
    const { tenant, topic } = address
    const now = clock.now()
    const { wrap } = topics.get(tenant, topic) ?? newTopic(tenant, topic, now, 0)
    const time = new Date(now).toISOString()
    const contentType = type?.given ?? "application/octet-stream"
    const json =
      `{"specversion":"1.0","id":${quoteJson(id)},"source":${quoteJson(wrap.source)},"type":${quoteJson(wrap.type)},` +
      `"time":"${time}","datacontenttype":${quoteJson(contentType)}}`
    return Event.fromJson(Buffer.from(json), kind === "none" ? undefined : body, kind, { id, source: wrap.source })
  }

  publish(
    address: Address,
    events: readonly Event[],
    expectedLast?: ExpectedLast,
  ): Promise<readonly Published[] | Refusal> {
    const topic = this.#options.topics.get(address.tenant, address.topic)
    if (topic !== undefined) return this.#checkSizes(topic, address, events, expectedLast)
    return this.#publishFirst(address, events, expectedLast)
  }

  async #publishFirst(address: Address, events: readonly Event[], expectedLast?: ExpectedLast) {
    const { limits, topics } = this.#options
    if (!limits.topicsAutoCreate) {
      const detail = `there is no topic ${address.topic}; make it first with POST /v1/topics, or set topicsAutoCreate`
      return this.#refuse(events, new Refusal("not-found", detail))
    }
    try {
      const topic = await topics.ensure(address.tenant, address.topic)
      return await this.#checkSizes(topic, address, events, expectedLast)
    } catch (error) {
      return this.#refuseError(events, error)
    }
  }

  #checkSizes(
    topic: Topic,
    address: Address,
    events: readonly Event[],
    expectedLast: ExpectedLast | undefined,
  ): Promise<readonly Published[] | Refusal> {
    let bytes = 0
    let fits = true
    let mayDelay = false
    const { eventBytesMax } = this.#options.limits
    for (let i = 0; i < events.length; i++) {
      const size = eventBytes(events[i]!)
      bytes += size
      if (size > eventBytesMax) fits = false
      if (!mayDelay && mayBeDelayed(events[i]!)) mayDelay = true
    }
    if (mayDelay) return this.#publishTimed(topic, address, events, expectedLast)
    return this.#publishNow(topic, address, events, { bytes, fits }, expectedLast)
  }

  #publishNow(
    topic: Topic,
    address: Address,
    events: readonly Event[],
    { bytes, fits }: { readonly bytes: number; readonly fits: boolean },
    expectedLast: ExpectedLast | undefined,
  ): Promise<readonly Published[] | Refusal> {
    const { eventBytesMax } = this.#options.limits
    if (fits) return this.#append(topic, address, events, bytes, expectedLast)
    const refusal = tooLarge(eventBytesMax)
    if (expectedLast !== undefined) return Promise.resolve(this.#refuse(events, refusal))
    return this.#appendFitting(topic, address, events, refusal)
  }

  /** Some may be delayed: those go where they wait, the others to the topic. */
  async #publishTimed(
    topic: Topic,
    address: Address,
    events: readonly Event[],
    expectedLast: ExpectedLast | undefined,
  ): Promise<readonly Published[] | Refusal> {
    const now = this.#options.clock.now()
    const { eventBytesMax } = this.#options.limits
    const until = events.map((event) => delayOf(event, now))
    const refused = until.find((each) => each instanceof Refusal)
    if (expectedLast !== undefined && until.some((each) => each !== undefined)) {
      return this.#refuse(events, refused instanceof Refusal ? refused : notConditional)
    }
    const plain = events.filter((_, i) => until[i] === undefined)
    const bytes = plain.reduce((sum, event) => sum + eventBytes(event), 0)
    const fits = plain.every((event) => eventBytes(event) <= eventBytesMax)
    const stored =
      plain.length === 0 ? [] : await this.#publishNow(topic, address, plain, { bytes, fits }, expectedLast)
    if (stored instanceof Refusal) return stored
    const rest = stored.values()
    const all: (Published | Promise<Published>)[] = []
    for (const [i, event] of events.entries()) {
      const each = until[i]
      if (each === undefined) all.push(rest.next().value!)
      else if (each instanceof Refusal) all.push(this.#refuse([event], each))
      else all.push(this.#delay(topic, address, event))
    }
    return Promise.all(all)
  }

  async #delay(topic: Topic, address: Address, event: Event): Promise<Published> {
    const { limits, engine } = this.#options
    if (eventBytes(event) > limits.eventBytesMax) return this.#refuse([event], tooLarge(limits.eventBytesMax))
    try {
      const accepted = await putDelayed(engine.log, topic, address, event)
      this.#count([event], [accepted], eventBytes(event))
      return accepted
    } catch (error) {
      return this.#refuseError([event], error)
    }
  }

  #append(
    topic: Topic,
    address: Address,
    events: readonly Event[],
    bytes: number,
    expectedLast: ExpectedLast | undefined,
  ): Promise<readonly Published[] | Refusal> {
    const { dedupeWindowMs } = topic
    const options = expectedLast === undefined ? { dedupeWindowMs } : { dedupeWindowMs, expectedLast }
    return this.#options.engine.log.append(address, events, options).then(
      (appended) => {
        if (this.#options.topics.get(address.tenant, address.topic) === undefined) {
          return this.#afterDeletion(address, events, appended, bytes)
        }
        if (this.#options.observe !== undefined) this.#count(events, appended, bytes)
        return appended
      },
      (error: unknown) => this.#refuseError(events, error),
    )
  }

  /** The topic was deleted while this was being stored: it is there again before anything is acknowledged, or nothing is. */
  async #afterDeletion(
    { tenant, topic }: Address,
    events: readonly Event[],
    appended: readonly Appended[],
    bytes: number,
  ) {
    const { limits, topics } = this.#options
    if (!limits.topicsAutoCreate) {
      const detail = `topic ${topic} was deleted while this was published; make it again with POST /v1/topics first`
      return this.#refuse(events, new Refusal("not-found", detail))
    }
    try {
      await topics.ensure(tenant, topic)
    } catch (error) {
      return this.#refuseError(events, error)
    }
    this.#count(events, appended, bytes)
    return appended
  }

  async #appendFitting(topic: Topic, address: Address, events: readonly Event[], refusal: Refusal) {
    const { eventBytesMax } = this.#options.limits
    const fitting = events.filter((event) => eventBytes(event) <= eventBytesMax)
    const bytes = fitting.reduce((sum, event) => sum + eventBytes(event), 0)
    this.#options.observe?.published({
      accepted: 0,
      duplicates: 0,
      refused: events.length - fitting.length,
      code: refusal.code,
      bytes: 0,
    })
    const appended = fitting.length === 0 ? [] : await this.#append(topic, address, fitting, bytes, undefined)
    if (appended instanceof Refusal) return appended
    const rest = appended.values()
    return events.map((event) => (eventBytes(event) <= eventBytesMax ? rest.next().value! : refusal))
  }

  #count(events: readonly Event[], appended: readonly Appended[], bytes: number): void {
    let duplicates = 0
    let duplicateBytes = 0
    for (let i = 0; i < appended.length; i++) {
      if (!appended[i]!.duplicate) continue
      duplicates++
      duplicateBytes += eventBytes(events[i]!)
    }
    const accepted = appended.length - duplicates
    this.#options.observe?.published({ accepted, duplicates, refused: 0, bytes: bytes - duplicateBytes })
  }

  #refuse(events: readonly Event[], refusal: Refusal): Refusal {
    this.#options.observe?.published({
      accepted: 0,
      duplicates: 0,
      refused: events.length,
      code: refusal.code,
      bytes: 0,
    })
    return refusal
  }

  #refuseError(events: readonly Event[], error: unknown): Refusal {
    const refusal = refusalOfError(error)
    if (refusal === undefined) throw error
    return this.#refuse(events, refusal)
  }
}

/** What an event counts against the limit: its attributes as JSON and its data. */
export function eventBytes(event: Event): number {
  return event.attributesJson.length + (event.data === undefined ? 0 : event.data.length)
}

/** The refusal of an event that is larger than `eventBytesMax`. */
export function tooLarge(eventBytesMax: number): Refusal {
  return new Refusal("too-large", `an event may have ${eventBytesMax} bytes at most (limits.eventBytesMax)`)
}

function addressOf(tenant: string, text: string): Address | Refusal {
  const parsed = parseTopic(text)
  if (typeof parsed === "string") {
    return new Refusal("invalid-argument", parsed, { errors: [{ field: "topic", message: parsed }] })
  }
  if (isReservedTopic(parsed.topic)) {
    return new Refusal("permission-denied", `${attemptsTopic} and ${deadLettersTopic} are written by the hub alone`)
  }
  return { tenant, ...parsed }
}
