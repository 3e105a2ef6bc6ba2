import type { Budget } from "../../core/budget.ts"
import type { Delivered, Failed, Outcome } from "../../core/delivery.ts"
import type { ReplyTaker } from "../../core/destination.ts"
import type { Event } from "../../core/event.ts"
import { BinaryDecoder, isAttributeHeader } from "../../formats/http-binding.ts"
import { InvalidEvent } from "../../formats/invalid-event.ts"
import { JsonDecoder } from "../../formats/json-decode.ts"
import { type ContentMode, contentMode, parseMediaType } from "../../formats/media-type.ts"
import type { Answer } from "./answer.ts"
import type { AnswerHead } from "./http1/head.ts"

/** Answers that hold events are in memory while they are read and published: so many bytes of them, for all webhooks. */
export const repliesInFlightBytesMax = 64 << 20

/** How an answer's body is kept whose events are wanted. */
export interface ReplyRoom {
  /** Whether this answer holds events. */
  isFor(head: AnswerHead): boolean
  readonly bytesMax: number
  /** False: there is no room for so many more bytes. */
  take(bytes: number): boolean
}

/** Takes the reply out of one request's answer. */
export class ReplyReading implements ReplyRoom {
  readonly bytesMax: number
  readonly #taker: ReplyTaker
  readonly #budget: Budget
  #held = 0
  #isFull = false
  /** The last answer that holds events. */
  #answer: Answer | undefined

  constructor(taker: ReplyTaker, budget: Budget) {
    this.bytesMax = taker.bytesMax
    this.#taker = taker
    this.#budget = budget
  }

  isFor(head: AnswerHead): boolean {
    return replyMode(head) !== undefined
  }

  take(bytes: number): boolean {
    this.#isFull = !this.#budget.take(bytes, this.#held)
    if (!this.#isFull) this.#held += bytes
    return !this.#isFull
  }

  /** Whether the answer holds events, which {@link ReplyReading.conclude} is to publish. */
  keep(answer: Answer): boolean {
    this.#answer = replyMode(answer) === undefined ? undefined : answer
    return this.#answer !== undefined
  }

  /** The outcome, with what became of the answer's events. */
  async conclude(outcome: Outcome): Promise<Outcome> {
    const answer = this.#answer
    if (answer === undefined || outcome.kind === "failed") return outcome
    if (this.#isFull) return failed(outcome, "there is no room for its answer at present")
    if (answer.bodyTruncated && answer.body.length < this.bytesMax)
      return failed(outcome, "its answer, which is to be published, did not come whole")
    const events = answer.bodyTruncated ? tooLarge(this.bytesMax) : decodeReply(answer, this.#taker.eventsMax)
    if (typeof events === "string") return { ...outcome, reply: { kind: "refused", detail: events } }
    if (events.length === 0) return outcome
    const taken = await this.#taker.take(events)
    return taken.kind === "failed" ? failed(outcome, taken.detail) : { ...outcome, reply: taken }
  }

  /** Lets go of the answer. */
  release(): void {
    this.#budget.give(this.#held)
    this.#held = 0
    this.#answer = undefined
  }
}

/** How an answer holds events; undefined: it is no reply. */
export function replyMode({ status, headers }: Pick<Answer, "status" | "headers">): ContentMode | undefined {
  if (status < 200 || status > 299) return undefined
  const type = headers["content-type"]
  const mode = type === undefined ? "binary" : contentMode(parseMediaType(type))
  if (mode === "ndjson") return undefined
  return mode !== "binary" || Object.keys(headers).some(isAttributeHeader) ? mode : undefined
}

/** The events that a whole answer holds; a text: why it holds none. All are in order, or it holds none. */
export function decodeReply(answer: Answer, eventsMax: number): readonly Event[] | string {
  const { headers, body } = answer
  const mode = replyMode(answer)
  const coding = headers["content-encoding"] ?? "identity"
  if (coding.toLowerCase() !== "identity") return `its body is encoded (${coding}), which is not asked for`
  if (mode === "batch") return decodeBatch(body, eventsMax)
  if (mode === "unsupported")
    return `its content type ${headers["content-type"]} is no event format that is spoken here`
  const event = mode === "structured" ? new JsonDecoder().decode(body) : decodeBinary(answer)
  return event instanceof InvalidEvent ? faultsOf(event) : [event]
}

function decodeBinary({ headers, body }: Answer): Event | InvalidEvent {
  const type = headers["content-type"]
  return new BinaryDecoder().decode(
    Object.entries(headers).flat(),
    type === undefined ? undefined : parseMediaType(type),
    body,
  )
}

function decodeBatch(body: Buffer, eventsMax: number): readonly Event[] | string {
  const batch = new JsonDecoder().decodeBatch(body, eventsMax)
  if (batch.kind === "too-many") return `it holds more than ${eventsMax} events`
  if (batch.kind === "invalid") return batch.detail
  const events: Event[] = []
  for (const [i, item] of batch.items.entries()) {
    if (item instanceof InvalidEvent) return `[${i}]: ${faultsOf(item)}`
    events.push(item)
  }
  return events
}

/** Faults that are told. */
const faultsMax = 5

function faultsOf({ detail, faults }: InvalidEvent): string {
  if (faults.length < 2) return detail
  const shown = faults.slice(0, faultsMax).map(({ field, message }) => `${field} ${message}`)
  return `${detail}: ${shown.join("; ")}`
}

function tooLarge(bytesMax: number): string {
  return `it has more than ${bytesMax} bytes (twice limits.eventBytesMax)`
}

/** The receiver is there, and took the event; its attempt is made once more. */
function failed({ response }: Delivered, detail: string): Failed {
  return { kind: "failed", detail, permanent: false, ...(response && { response }) }
}
