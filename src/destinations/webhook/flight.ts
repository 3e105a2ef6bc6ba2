import type { FailureCause } from "../../core/delivery.ts"
import { type Answer, oneLine } from "./answer.ts"
import type { Carried, Connection } from "./connection.ts"
import type { Connections } from "./connections.ts"
import type { AnswerHead } from "./http1/head.ts"
import type { ReplyRoom } from "./reply.ts"

/** More of an answer's body than this is not waited for. */
const bodyDrainedBytes = 65_536

/** What all requests of a sender share. */
export interface FlightContext {
  readonly connections: Connections
  /** From the start to the end of the answer, the connection included; kept by the connections. */
  readonly timeoutMs: number
  /** What is kept of an answer's body. */
  readonly bodyKeptBytes: number
}

/** No status came; `detail` says why. */
export interface NoAnswer {
  readonly detail: string
  readonly cause?: FailureCause
}

/**
 * One request from its start to its answer, or to where it is clear that none comes.
 *
 * It is over once, by what comes first: the answer's end, an error, the deadline or the signal. Where a status had come
 * by then it decides, whatever became of the body. A connection that was used before and breaks before any answer may
 * have been closed by the other side in the meantime: the request is then made once more on a fresh one, which
 * `webhook-id` makes safe.
 */
export class Flight implements Carried {
  readonly #context: FlightContext
  readonly #request: readonly Uint8Array[]
  readonly signal: AbortSignal
  readonly #done: (end: Answer | NoAnswer) => void
  #connection: Connection
  #over = false
  #head: AnswerHead | undefined
  #kept: Buffer[] = []
  #bytes = 0
  /** What is kept of the answer's body. */
  keptBytesMax: number
  readonly #room: ReplyRoom | undefined
  #isReply = false

  /** `room`: where an answer that holds events is kept whole. */
  constructor(
    context: FlightContext,
    request: readonly Uint8Array[],
    signal: AbortSignal,
    done: (end: Answer | NoAnswer) => void,
    room?: ReplyRoom,
  ) {
    this.#context = context
    this.keptBytesMax = context.bodyKeptBytes
    this.#room = room
    this.#request = request
    this.signal = signal
    this.#done = done
    this.#connection = context.connections.take(this)
    this.#connection.send(request)
  }

  abort(): void {
    this.#giveUp("stopped before an answer came")
  }

  expire(): void {
    this.#giveUp(`no answer within ${this.#context.timeoutMs / 1000} s`, "timeout")
  }

  head(head: AnswerHead): void {
    this.#head = head
    if (this.#room?.isFor(head) !== true) return
    this.#isReply = true
    this.keptBytesMax = this.#room.bytesMax
  }

  data(bytes: Buffer): void {
    if (this.#over) return
    const kept = this.keptBytesMax
    const isKept = this.#bytes < kept
    const hasRoom = !isKept || !this.#isReply || this.#room!.take(bytes.length)
    if (isKept && hasRoom) this.#kept.push(bytes.subarray(0, kept - this.#bytes))
    this.#bytes += bytes.length
    if (!hasRoom || this.#bytes > Math.max(kept, bodyDrainedBytes)) this.#giveUp("")
  }

  end(reusable: boolean): void {
    if (this.#over) return
    this.#over = true
    const head = this.#head!
    this.#context.connections.giveBack(this.#connection, head, reusable)
    this.#done(this.#answer(head, this.#bytes > this.keptBytesMax))
  }

  fault(detail: string): void {
    this.#giveUp(detail, "protocol")
  }

  broken(error: Error | undefined): void {
    if (this.#over) return
    const stale = this.#connection.reused && this.#head === undefined && isDisconnect(error)
    if (!stale) {
      this.#giveUp(describe(error), this.#connection.connected ? "broken" : "connect")
      return
    }
    this.#connection = this.#context.connections.replace(this.#connection)
    this.#connection.send(this.#request)
  }

  /** Ends without waiting for the answer's end; `detail` says why, should there be no status. */
  #giveUp(detail: string, cause?: FailureCause): void {
    if (this.#over) return
    this.#over = true
    this.#context.connections.drop(this.#connection)
    this.#done(this.#head ? this.#answer(this.#head, true) : { detail, ...(cause && { cause }) })
  }

  #answer({ status, reason, headers }: AnswerHead, bodyTruncated: boolean): Answer {
    const body = this.#kept.length === 0 ? noBody : Buffer.concat(this.#kept)
    return { status, reason, headers, body, bodyTruncated }
  }
}

const noBody = Buffer.alloc(0)

function isDisconnect(error: Error | undefined): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return error === undefined || code === "ECONNRESET" || code === "EPIPE"
}

function describe(error: Error | undefined): string {
  if (error === undefined) return "the connection was closed before an answer came"
  const causes = error instanceof AggregateError ? error.errors.map((cause: Error) => cause.message) : [error.message]
  return oneLine([...new Set(causes)].join(", ") || error.name, 200)
}
