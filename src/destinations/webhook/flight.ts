import { type Dispatcher, errors } from "undici"
import type { Clock } from "../../core/clock.ts"
import type { Outcome } from "../../core/delivery.ts"
import { type Answer, bodyKeptBytes, oneLine, outcomeOf } from "./answer.ts"
import { answerBytesMax, type Carried, type Connection } from "./connection.ts"
import type { Connections } from "./connections.ts"

/** More of an answer's body than this is not waited for. */
const bodyDrainedBytes = 65_536
/** Interim answers (1xx) that are passed over before the answer. */
export const interimMax = 16

/** What all requests of a sender share. */
export interface FlightContext {
  readonly connections: Connections
  readonly clock: Clock
  /** From the start to the end of the answer, the connection included; kept by the connections. */
  readonly timeoutMs: number
}

/**
 * One request from its start to its outcome, as undici's handler.
 *
 * It is over once, by what comes first: the answer's end, an error, the deadline or the signal. Where a status had come
 * by then it decides, whatever became of the body. A connection that was used before and breaks before any answer may
 * have been closed by the other side in the meantime: the request is then made once more on a fresh one, which
 * `webhook-id` makes safe.
 */
export class Flight implements Dispatcher.DispatchHandler, Carried {
  readonly #context: FlightContext
  readonly #request: Dispatcher.DispatchOptions
  readonly signal: AbortSignal
  readonly #done: (outcome: Outcome) => void
  #connection: Connection
  #over = false
  #interim = 0
  #status = 0
  #reason = ""
  #headers: Readonly<Record<string, string>> = {}
  #kept: Buffer[] = []
  #bytes = 0

  constructor(
    context: FlightContext,
    request: Dispatcher.DispatchOptions,
    signal: AbortSignal,
    done: (outcome: Outcome) => void,
  ) {
    this.#context = context
    this.#request = request
    this.signal = signal
    this.#done = done
    this.#connection = context.connections.take(this)
    this.#connection.client.dispatch(request, this)
  }

  abort(): void {
    this.#giveUp("stopped before an answer came")
  }

  expire(): void {
    this.#giveUp(`no answer within ${this.#context.timeoutMs / 1000} s`)
  }

  overflow(): void {
    this.#giveUp(`more than ${answerBytesMax / 1_024} KiB came, and no end of the answer`)
  }

  onRequestStart(): void {}

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
    reason?: string,
  ): void {
    if (status < 200) {
      this.#interim++
      if (this.#interim > interimMax) this.#giveUp(`more than ${interimMax} interim answers came before an answer`)
      return
    }
    this.#status = status
    this.#reason = reason ?? ""
    for (const name in headers) {
      const value = headers[name]
      if (typeof value !== "string") headers[name] = value?.join(", ")
    }
    this.#headers = headers as Record<string, string>
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return
    if (this.#bytes < bodyKeptBytes) this.#kept.push(chunk.subarray(0, bodyKeptBytes - this.#bytes))
    this.#bytes += chunk.length
    if (this.#bytes > bodyDrainedBytes) this.#giveUp("")
  }

  onResponseEnd(): void {
    if (this.#over) return
    this.#over = true
    this.#context.connections.giveBack(this.#connection)
    this.#done(this.#outcome(this.#bytes > bodyKeptBytes))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return
    const stale = this.#connection.reused && this.#status === 0 && isDisconnect(error)
    if (!stale) {
      this.#giveUp(describe(error))
      return
    }
    this.#connection = this.#context.connections.replace(this.#connection)
    this.#connection.client.dispatch(this.#request, this)
  }

  /** Ends without waiting for the answer's end; `detail` says why, should there be no status. */
  #giveUp(detail: string): void {
    if (this.#over) return
    this.#over = true
    this.#context.connections.drop(this.#connection)
    this.#done(this.#status > 0 ? this.#outcome(true) : { kind: "failed", detail, permanent: false })
  }

  #outcome(bodyTruncated: boolean): Outcome {
    const answer: Answer = {
      status: this.#status,
      reason: this.#reason,
      headers: this.#headers,
      body: this.#kept.length === 0 ? noBody : Buffer.concat(this.#kept),
      bodyTruncated,
    }
    return outcomeOf(answer, this.#context.clock.now())
  }
}

const noBody = Buffer.alloc(0)

function isDisconnect(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return error instanceof errors.SocketError || code === "ECONNRESET" || code === "EPIPE"
}

function describe(error: Error): string {
  if (error instanceof errors.SocketError) return "the connection was closed before an answer came"
  const causes = error instanceof AggregateError ? error.errors.map((cause: Error) => cause.message) : [error.message]
  return oneLine([...new Set(causes)].join(", ") || error.name, 200)
}
