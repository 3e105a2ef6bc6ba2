import { type Clock, sleep } from "../../../core/clock.ts"
import { type Answer, unanswered } from "./answer.ts"
import type { Voids } from "./voids.ts"

/** One message on its way: bytes as the client takes them. */
export interface Frame {
  readonly subject: string
  readonly header: Uint8Array
  readonly payload: Uint8Array
}

/** How far a topic has come, for its order to be kept. */
export interface TopicOrder {
  /** The highest number of its messages that is known to be stored. */
  stored: number
  /** Its messages that wait or are on their way. */
  open: number
  /** To be called when none is. */
  settled: (() => void) | undefined
}

/** What one answer is awaited for: one message, or several that are stored whole or not at all. */
export interface Outgoing {
  readonly topic: TopicOrder
  /** Of its last message; greater than that of all before. */
  readonly number: number
  /** Numbers that it tells to be void. */
  readonly voids: readonly number[] | undefined
  readonly numbers: readonly number[]
  readonly bytes: number
  /** Of its largest message. */
  readonly largestBytes: number
  readonly deadline: number
  /** Made anew for each sending. */
  frames(): readonly Frame[]
  done(answer: Answer): void
  sentAt: number
  sendings: number
  failed: boolean
  /** What was answered, of something that was sent again. */
  held: Answer | undefined
  /** By which the wire knows its answer. */
  token: string | undefined
}

/** How frames leave, and what is known of the other side. */
export interface Wire {
  readonly clock: Clock
  readonly up: boolean
  /** Sends, and has the answer given to {@link PublishPipeline.answered}. */
  send(pipeline: PublishPipeline, outgoing: Outgoing): void
  /** No answer is awaited any more. */
  forget(outgoing: Outgoing): void
  /** Whether the stream is there and answers. */
  probe(): Promise<boolean>
}

const onTheirWayMax = 4_096
const onTheirWayBytesMax = 16 << 20
const tickMs = 250
const settleMs = 5
/** Without an answer for so long, it is sent again. */
const answerMsMax = 1_500

/**
 * Sends one partition's messages in order, many at once. What is not answered is sent again: the server knows it by its
 * message id. While anything is sent again nothing new is, and a message is given up once a later one of its topic is known
 * to be stored, so that a topic's events are stored in the order of calls or refused.
 */
export class PublishPipeline {
  readonly #wire: Wire
  readonly voids: Voids
  #number = 0
  #waiting: Outgoing[] = []
  readonly #sent = new Set<Outgoing>()
  #sentBytes = 0
  #troubled = false
  #paused = 0
  #quiet: (() => void)[] = []
  #cancelTick: (() => void) | undefined
  #refusing = false
  #closed = false
  /** Of those on their way, how many answers are held. */
  #held = 0
  #answeredAt = 0
  /** The highest number that was answered: answers come in order. */
  #answeredNumber = 0

  constructor(wire: Wire, voids: Voids) {
    this.#wire = wire
    this.voids = voids
  }

  /** The number of this writer's next message in the partition. */
  nextNumber(): number {
    return ++this.#number
  }

  /** Whether nothing is taken: what was sent before has not been answered for too long. */
  get refusing(): boolean {
    return this.#refusing || !this.#wire.up
  }

  get pending(): number {
    return this.#sent.size + this.#waiting.length
  }

  /** What it would have told and numbered is void: it is not sent. */
  drop({ numbers, voids = [] }: Outgoing): void {
    this.voids.add(numbers)
    this.voids.add(voids)
  }

  put(outgoing: Outgoing): void {
    outgoing.topic.open++
    this.#waiting.push(outgoing)
    this.#pump()
  }

  /** As {@link put}, also while the pipeline is held; only for whoever holds it. */
  putNow(outgoing: Outgoing): void {
    outgoing.topic.open++
    this.#send(outgoing)
  }

  /** Does `work` while nothing else is on its way. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.#paused++
    try {
      if (this.#sent.size > 0) await new Promise<void>((resolve) => this.#quiet.push(resolve))
      return await work()
    } finally {
      this.#paused--
      this.#pump()
    }
  }

  /** Resolves when nothing waits and nothing is on its way. */
  async settled(): Promise<void> {
    while (this.pending > 0) await sleep(this.#wire.clock, settleMs)
  }

  answered(outgoing: Outgoing, answer: Answer): void {
    if (!this.#sent.has(outgoing)) return
    this.#refusing = false
    this.#answeredAt = this.#wire.clock.steady()
    this.#answeredNumber = Math.max(this.#answeredNumber, outgoing.number)
    if (answer.kind === "passing") {
      outgoing.failed = true
      this.#troubled = true
      return
    }
    if (outgoing.sendings > 1) {
      if (outgoing.held === undefined) this.#held++
      outgoing.held = answer
      this.#release()
    } else this.#finish(outgoing, answer)
    this.#pump()
  }

  /**
   * What was sent again is acknowledged when all of it is answered: only then is it known whether a later message of a topic
   * had been stored before, its answer lost. Then the earlier one is in the wrong place, and is not acknowledged.
   */
  #release(): void {
    if (this.#held < this.#sent.size || this.#held === 0) return
    const sent = [...this.#sent]
    const earliest = new Map<TopicOrder, number>()
    for (const outgoing of sent.reverse()) {
      const answer = outgoing.held!
      if (answer.kind !== "stored" && answer.kind !== "duplicate") continue
      const later = earliest.get(outgoing.topic) ?? Number.POSITIVE_INFINITY
      if (answer.sequence > later) outgoing.held = unanswered
      else earliest.set(outgoing.topic, answer.sequence)
    }
    for (const outgoing of sent.reverse()) this.#finish(outgoing, outgoing.held!)
  }

  cut(): void {
    if (this.#sent.size > 0) this.#troubled = true
  }

  restored(): void {
    this.#refusing = false
    this.#sendAgain()
    this.#pump()
  }

  close(): void {
    this.#closed = true
    this.#cancelTick?.()
    for (const outgoing of [...this.#sent, ...this.#waiting.splice(0)]) this.#finish(outgoing, unanswered)
  }

  #pump(): void {
    let sent = 0
    while (sent < this.#waiting.length && this.#mayMore()) this.#send(this.#waiting[sent++]!)
    if (sent === this.#waiting.length) this.#waiting = []
    else if (sent > 0) this.#waiting.splice(0, sent)
    if (this.pending > 0) this.#cancelTick ??= this.#wire.clock.after(tickMs, () => this.#tick())
  }

  #mayMore(): boolean {
    if (this.#paused > 0 || this.#troubled || !this.#wire.up || this.#closed) return false
    return this.#sent.size < onTheirWayMax && this.#sentBytes < onTheirWayBytesMax
  }

  #send(outgoing: Outgoing): void {
    this.#sent.add(outgoing)
    this.#sentBytes += outgoing.bytes
    outgoing.sentAt = this.#wire.clock.steady()
    outgoing.sendings++
    this.#wire.send(this, outgoing)
    this.#cancelTick ??= this.#wire.clock.after(tickMs, () => this.#tick())
  }

  #finish(outgoing: Outgoing, answer: Answer): void {
    if (this.#sent.delete(outgoing)) {
      this.#sentBytes -= outgoing.bytes
      if (outgoing.held !== undefined) this.#held--
    }
    this.#wire.forget(outgoing)
    const { topic } = outgoing
    if (answer.kind === "stored") topic.stored = Math.max(topic.stored, outgoing.number)
    else this.drop(outgoing)
    outgoing.done(answer)
    if (--topic.open === 0) topic.settled?.()
    if (this.#sent.size > 0) return
    this.#troubled = false
    for (const resolve of this.#quiet.splice(0)) resolve()
  }

  #tick(): void {
    this.#cancelTick = undefined
    const now = this.#wire.clock.steady()
    this.#giveUp(now)
    const open = [...this.#sent].filter(({ held }) => held === undefined)
    const [oldest] = open
    const late = oldest !== undefined && this.#isLost(oldest, now)
    const answeredBadly = this.#troubled && open.every(({ failed }) => failed)
    if (oldest !== undefined && this.#wire.up && (late || answeredBadly)) this.#sendAgain()
    this.#pump()
  }

  /** A server that is slow is not asked again: it is heard, and has answered nothing later than this. */
  #isLost({ sentAt, number }: Outgoing, now: number): boolean {
    if (now - sentAt < answerMsMax) return false
    return now - this.#answeredAt >= answerMsMax || this.#answeredNumber > number
  }

  /** Those whose time is over. Afterwards nothing is taken until somebody answers. */
  #giveUp(now: number): void {
    const over = [...this.#sent].filter(({ deadline }) => deadline <= now)
    const never = this.#waiting.filter(({ deadline }) => deadline <= now)
    if (over.length + never.length === 0) return
    if (over.length > 0 && !this.#refusing) {
      this.#refusing = true
      void this.#probe()
    }
    this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
    for (const outgoing of [...over, ...never]) this.#finish(outgoing, unanswered)
    this.#release()
  }

  async #probe(): Promise<void> {
    // Ends: the stream takes something, or the pipeline closes.
    while (this.#refusing && !this.#closed) {
      if (this.#wire.up && (await this.#wire.probe())) this.#refusing = false
      else await sleep(this.#wire.clock, tickMs)
    }
    this.#pump()
  }

  #sendAgain(): void {
    if (this.#sent.size === 0) return
    this.#troubled = true
    const now = this.#wire.clock.steady()
    for (const outgoing of [...this.#sent]) {
      if (outgoing.held !== undefined) continue
      if (outgoing.number < outgoing.topic.stored) {
        this.#finish(outgoing, unanswered)
        continue
      }
      outgoing.sentAt = now
      outgoing.failed = false
      outgoing.sendings++
      this.#wire.send(this, outgoing)
    }
  }
}
