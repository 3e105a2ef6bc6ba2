import { type Address, isReservedTopic } from "../../../core/address.ts"
import { type Clock, sleep } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import { ExpectedLastError, OverloadError, UnavailableError } from "../../../core/errors.ts"
import type { Event } from "../../../core/event.ts"
import type { Appended, AppendOptions } from "../../../core/log.ts"
import type { Names } from "../names.ts"
import { isWrongLastSequence, reasons } from "../reasons.ts"
import type { Answer } from "./answer.ts"
import { eventId, type Sending, type Target } from "./append.ts"
import { type Appender, errorOf, nextId, notStored } from "./appender.ts"
import { formatCursor, parseCursor } from "./cursor.ts"
import type { Outgoing } from "./pipeline.ts"
import type { LogStream } from "./stream.ts"

/** An event that is there already, in the log. */
export interface Earlier {
  readonly sequence: number
  readonly storedAt: number
}

export interface ConditionOptions {
  readonly appender: Appender
  readonly names: Names
  readonly clock: Clock
  readonly streams: readonly LogStream[]
  readonly partitions: number
  /** The newest event of a topic with this identity. */
  earlier(address: Address, event: Event): Promise<Earlier | undefined>
  last(address: Address): Promise<Cursor | undefined>
}

/** Events that the server stores whole or not at all. */
const wholeMax = 1_000
const triesMax = 30
const restMs = 10
/** How often an event may have been stored and dropped within the server's window. */
const beforeMax = 100
/** Conditions that never hold. */
const neverInSequence = `Nats-Expected-Last-Sequence: ${Number.MAX_SAFE_INTEGER}\r\n`
const neverAfterId = "Nats-Expected-Last-Msg-Id: -\r\n"

/** What became of one try. */
type Outcome =
  | { readonly kind: "stored"; readonly sequences: readonly number[] }
  | { readonly kind: "conflict" }
  | { readonly kind: "duplicates" }

/** Appends only after an address's last event, as EventLog.append says it of `expectedLast`. */
export class Conditions {
  readonly #options: ConditionOptions

  constructor(options: ConditionOptions) {
    this.#options = options
  }

  append(address: Address, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const { appender } = this.#options
    const target = appender.target(address)
    const refusal = appender.refusal(target, events)
    if (refusal !== undefined) return Promise.reject(refusal)
    return appender
      .inTurn(target, events, () => this.#append(target, events, options))
      .catch((error: unknown) => {
        throw error instanceof UnavailableError ? notStored() : error
      })
  }

  async #append(target: Target, events: readonly Event[], options: AppendOptions): Promise<readonly Appended[]> {
    const { dedupeWindowMs = 0, expectedLast } = options
    let known: Known = new Map()
    const renamed = new Map<number, string>()
    let looked = events.length === 1 || dedupeWindowMs === 0
    if (!looked) known = await this.#known(target, events, dedupeWindowMs)
    for (let tries = 0; tries < triesMax; tries++) {
      const { todo, twins, places } = this.#todo(target, events, known, renamed, options)
      if (todo.length === 0) return answer(target, events.length, known, twins, [])
      const outcome = await this.#try(target, todo, expectedLast!)
      if (outcome.kind === "stored") return answer(target, events.length, known, twins, outcome.sequences)
      const before = known.size
      if (dedupeWindowMs > 0 && (!looked || outcome.kind === "duplicates" || events.length === 1)) {
        known = await this.#known(target, events, dedupeWindowMs)
        looked = true
        if (known.size > before) continue
      }
      if (outcome.kind === "duplicates") {
        const ids = await this.#rename(target, todo)
        for (const [i, id] of ids) renamed.set(places[i]!, id)
        if (ids.size > 0) continue
      }
      if (outcome.kind === "conflict") await this.#refuse(target, expectedLast!)
      await sleep(this.#options.clock, restMs)
    }
    throw new OverloadError(100, "too much is published on this topic at once for what was expected to hold")
  }

  /** Throws ExpectedLastError, unless what was expected holds now. */
  async #refuse(target: Target, expected: Cursor | "none"): Promise<void> {
    const last = await this.#options.last(target.address)
    if ((last ?? "none") !== expected) throw new ExpectedLastError(last)
  }

  /** Where the events are that are known, by their place in the call. */
  async #known(target: Target, events: readonly Event[], windowMs: number): Promise<Known> {
    const known = new Map<number, Earlier & { readonly counts: boolean }>()
    const since = this.#options.clock.now() - windowMs
    for (const [i, event] of events.entries()) {
      const earlier = await this.#options.earlier(target.address, event)
      if (earlier !== undefined) known.set(i, { ...earlier, counts: earlier.storedAt >= since })
    }
    return known
  }

  /** What is to be stored, and which of the call's events repeats which. */
  #todo(
    target: Target,
    events: readonly Event[],
    known: Known,
    renamed: ReadonlyMap<number, string>,
    { dedupeWindowMs = 0 }: AppendOptions,
  ) {
    const todo: Sending[] = []
    const places: number[] = []
    const twins: (number | undefined)[] = []
    const seen = new Map<string, number>()
    events.forEach((event, i) => {
      const earlier = known.get(i)
      if (earlier?.counts) return
      const id = dedupeWindowMs > 0 ? eventId(target.address, event) : ""
      if (id !== "" && seen.has(id)) {
        twins[i] = seen.get(id)!
        return
      }
      if (id !== "") seen.set(id, i)
      const messageId = earlier === undefined ? (renamed.get(i) ?? id) : nextId(id, earlier.sequence)
      places.push(i)
      todo.push({ event, messageId, storedAt: undefined })
    })
    return { todo, twins, places }
  }

  /** New ids for those of which the server knows the id while the log no longer has the event; by their place in `todo`. */
  async #rename(target: Target, todo: readonly Sending[]): Promise<ReadonlyMap<number, string>> {
    const renamed = new Map<number, string>()
    const [only, ...others] = todo.slice(0, wholeMax)
    // What the server says of a whole batch does not name those that it knows; of a single one it does.
    const asked =
      others.length === 0 ? [true] : await Promise.all(todo.slice(0, wholeMax).map((one) => this.#isKnown(target, one)))
    const rename = async (sending: Sending, i: number) => {
      let { messageId } = sending
      for (let before = 0, known = asked[i]!; known && before < beforeMax; before++) {
        const sequence = await this.#goneAt(target, { ...sending, messageId })
        if (sequence === undefined) return
        messageId = nextId(messageId, sequence)
        renamed.set(i, messageId)
        known = await this.#isKnown(target, { ...sending, messageId })
      }
    }
    await Promise.all([only!, ...others].map(rename))
    return renamed
  }

  /** Whether the server knows the message's id: it looks for that first in a batch, and then finds that it cannot be stored. */
  async #isKnown(target: Target, sending: Sending): Promise<boolean> {
    if (sending.messageId === "") return false
    const [, answer] = await this.#options.appender.sendWhole(target, [sending], neverInSequence, false, true)
    return answer.kind === "refused" && answer.code === reasons.batchHoldsDuplicate
  }

  /**
   * Where the message was whose id the server knows; undefined where it is still there. Never asked of an id that is new: a
   * cluster would take it for one that is being stored.
   */
  async #goneAt(target: Target, sending: Sending): Promise<number | undefined> {
    const { appender, streams } = this.#options
    const [, answer] = await appender.sendWhole(target, [sending], neverAfterId, false)
    if (answer.kind !== "duplicate") return undefined
    const message = await streams[target.partition]!.message({ seq: answer.sequence })
    return message === undefined ? answer.sequence : undefined
  }

  async #try(target: Target, todo: readonly Sending[], expected: Cursor | "none"): Promise<Outcome> {
    const first = todo.slice(0, wholeMax)
    const { address } = target
    const outcome =
      address.key === undefined || isReservedTopic(address.topic)
        ? await this.#afterTopic(target, first, expected)
        : await this.#afterKey(target, first, expected)
    if (outcome.kind !== "stored" || todo.length === first.length) return outcome
    // The rest is stored by itself: what is whole ends at what the server takes at once.
    const last = formatCursor(target.partition, outcome.sequences.at(-1)!)
    const rest = await this.#try(target, todo.slice(wholeMax), last)
    if (rest.kind !== "stored") throw notStored()
    return { kind: "stored", sequences: [...outcome.sequences, ...rest.sequences] }
  }

  /** The server itself knows the last message of a subject. */
  async #afterKey(target: Target, sendings: readonly Sending[], expected: Cursor | "none"): Promise<Outcome> {
    const sequence = this.#sequenceOf(target, expected)
    if (sequence === undefined) return { kind: "conflict" }
    const line = `Nats-Expected-Last-Subject-Sequence: ${sequence}\r\n`
    const [outgoing, answer] = await this.#options.appender.sendWhole(target, sendings, line, false)
    return this.#outcome(target, outgoing, answer)
  }

  /** The topic's last message is looked for while nothing of this process is on its way; it is the last still if the stream's is. */
  async #afterTopic(target: Target, sendings: readonly Sending[], expected: Cursor | "none"): Promise<Outcome> {
    const { appender, streams, last, clock } = this.#options
    if (target.topic.open > 0) {
      await new Promise<void>((resolve) => {
        target.topic.settled = resolve
      })
      target.topic.settled = undefined
    }
    return target.pipeline.alone(async () => {
      for (let tries = 0; tries < triesMax; tries++) {
        const { last_seq } = await streams[target.partition]!.state()
        if (((await last(target.address)) ?? "none") !== expected) return { kind: "conflict" }
        const line = `Nats-Expected-Last-Sequence: ${last_seq}\r\n`
        const [outgoing, answer] = await appender.sendWhole(target, sendings, line, true)
        const outcome = await this.#outcome(target, outgoing, answer)
        if (outcome.kind !== "conflict") return outcome
        await sleep(clock, tries)
      }
      throw new OverloadError(100, "too much is published at once for what was expected to hold")
    })
  }

  #sequenceOf({ partition }: Target, expected: Cursor | "none"): number | undefined {
    if (expected === "none") return 0
    const place = parseCursor(expected, this.#options.partitions)
    return place.partition === partition ? place.sequence : undefined
  }

  async #outcome(target: Target, outgoing: Outgoing, answer: Answer): Promise<Outcome> {
    const { numbers } = outgoing
    const sequences = (last: number) => numbers.map((_, i) => last - numbers.length + 1 + i)
    if (answer.kind === "stored") return { kind: "stored", sequences: sequences(answer.sequence) }
    if (answer.kind === "duplicate") return { kind: "duplicates" }
    if (answer.kind !== "refused") throw errorOf(answer)
    const { code } = answer
    if (!isWrongLastSequence(code) && code !== reasons.batchHoldsDuplicate) throw errorOf(answer)
    if (outgoing.sendings > 1) {
      // The first sending may have been stored, its answer lost.
      const stored = await this.#options.streams[target.partition]!.message({ last_by_subj: target.storedSubject })
      if (stored !== undefined && this.#options.appender.isOwn(stored, outgoing.number)) {
        return { kind: "stored", sequences: sequences(stored.sequence) }
      }
    }
    return { kind: code === reasons.batchHoldsDuplicate ? "duplicates" : "conflict" }
  }
}

type Known = ReadonlyMap<number, Earlier & { readonly counts: boolean }>

function answer(
  { partition }: Target,
  count: number,
  known: Known,
  twins: readonly (number | undefined)[],
  sequences: readonly number[],
): readonly Appended[] {
  const appended: Appended[] = []
  let stored = 0
  for (let i = 0; i < count; i++) {
    const earlier = known.get(i)
    const twin = twins[i]
    if (earlier?.counts) appended.push({ cursor: formatCursor(partition, earlier.sequence), duplicate: true })
    else if (twin !== undefined) appended.push({ cursor: appended[twin]!.cursor, duplicate: true })
    else appended.push({ cursor: formatCursor(partition, sequences[stored++]!), duplicate: false })
  }
  return appended
}
