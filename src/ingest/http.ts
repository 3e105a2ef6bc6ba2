import type { IncomingMessage, ServerResponse } from "node:http"
import type { Address } from "../core/address.ts"
import { Budget } from "../core/budget.ts"
import type { Clock } from "../core/clock.ts"
import type { Event } from "../core/event.ts"
import { BinaryDecoder } from "../formats/http-binding.ts"
import { InvalidEvent } from "../formats/invalid-event.ts"
import { JsonDecoder } from "../formats/json-decode.ts"
import { type ContentMode, contentMode, type MediaType, parseMediaType } from "../formats/media-type.ts"
import { Memo } from "../formats/memo.ts"
import { withTraceContext } from "../formats/trace-context.ts"
import { answerJson, answerProblem, appendedJson, cut, drain, type Reply } from "./answer.ts"
import { publishItems } from "./batch.ts"
import { noRoom, readBody } from "./body.ts"
import { takeLines } from "./bulk.ts"
import type { DirectHead, DirectRequest } from "./direct-request.ts"
import { type Head, readHead } from "./head.ts"
import { parseIdempotencyKey, superfluousKey } from "./idempotency.ts"
import type { IngestLimits } from "./limits.ts"
import { Paces } from "./pace.ts"
import { decodeTopic, topicPart } from "./path.ts"
import { type ExpectedLast, type Publisher, type PublishObserver, tooLarge } from "./publish.ts"
import { Refusal, type RefusalCode, refusalOfInvalid } from "./refusal.ts"
import {
  bodyTooLarge,
  encoded,
  failed,
  noBatch,
  onHold,
  tooMany,
  unaskedParameters,
  unauthenticated,
  unsupported,
} from "./refusals.ts"

export interface IngestOptions {
  readonly publisher: Publisher
  readonly limits: IngestLimits
  readonly clock: Clock
  /** Who publishes, by the Authorization header; undefined: nobody who may. */
  authorize(header: string | undefined): { readonly tenant: string } | undefined
  /** Refuses all that is published. */
  readonly held?: boolean
  readonly observe?: PublishObserver
  /** Told of what should not happen; its sender is answered 500. */
  onBug?(error: unknown): void
}

/** `POST /v1/topics/{topic}/events` on plain node:http. */
export interface Ingest {
  /** Whether this request is for here, by its method and path. */
  handles(req: IncomingMessage): boolean
  /** Whether its answer is small, being about one event. */
  isSmall(req: IncomingMessage): boolean
  /** Reads the request and answers it; never throws. */
  handle(req: IncomingMessage, res: ServerResponse): void
  /**
   * The same for a request that has come whole, without node:http; `reply` is called once. False: it is of more than one
   * event, or not for here at all, and nothing was done.
   */
  takeDirect(request: DirectRequest, reply: Reply): boolean
  /** Bytes of bodies in memory. */
  readonly bodyBytes: number
}

/** Makes the handler. */
export function createIngest(options: IngestOptions): Ingest {
  return new HttpIngest(options)
}

/** A request whose head is in order. */
interface Admitted {
  readonly head: Head
  readonly address: Address
  readonly type: MediaType | undefined
  readonly mode: ContentMode
  readonly expectedLast: ExpectedLast | undefined
  /** The id of raw input; undefined: a fresh one. */
  readonly id: string | undefined
  /** What is done to each event before it is published. */
  readonly prepare: (event: Event) => Event
}

interface Request extends Admitted {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly begunAt: number
}

/** How a publish ends. */
interface Way {
  readonly reply: Reply
  /** When its head was read, by the clock's steady time. */
  readonly begunAt: number
  /** Gives its body's room back. */
  release(): void
}

class HttpIngest implements Ingest {
  readonly #options: IngestOptions
  readonly #budget: Budget
  readonly #paces: Paces
  readonly #tooLarge: Refusal
  readonly #json = new JsonDecoder()
  readonly #binary = new BinaryDecoder()
  readonly #types = new Memo((text) => {
    const type = parseMediaType(text)
    return { type, mode: contentMode(type) }
  })
  readonly #topics = new Memo(decodeTopic)

  constructor(options: IngestOptions) {
    this.#options = options
    this.#budget = new Budget(options.limits.bodiesInFlightBytesMax)
    this.#paces = new Paces(options.clock)
    this.#tooLarge = tooLarge(options.limits.eventBytesMax)
  }

  get bodyBytes(): number {
    return this.#budget.taken
  }

  handles(req: IncomingMessage): boolean {
    return req.method === "POST" && topicPart(req.url!) !== undefined
  }

  isSmall(req: IncomingMessage): boolean {
    if (!this.handles(req)) return false
    const { contentType } = readHead(req.rawHeaders)
    const mode = contentType === undefined ? "binary" : this.#types.of(contentType).mode
    return mode !== "batch" && mode !== "ndjson"
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    try {
      const admitted = this.#admit(req.url!, req.rawHeaders)
      const refusal =
        admitted instanceof Refusal
          ? admitted
          : this.#receive({ ...admitted, begunAt: this.#options.clock.steady(), req, res })
      if (refusal !== undefined) this.#refuse(req, res, refusal)
    } catch (error) {
      this.#bug(req, res, error)
    }
  }

  /** Everything that the head alone decides. */
  #admit(url: string, rawHeaders: readonly string[]): Admitted | Refusal {
    const { authorize, publisher, held } = this.#options
    const head = readHead(rawHeaders)
    const account = authorize(head.authorization)
    if (account === undefined) return unauthenticated
    if (held) return onHold
    const unasked = unaskedParameters(url)
    if (unasked !== undefined) return unasked
    const topic = this.#topics.of(topicPart(url) ?? "")
    const address = topic instanceof Refusal ? topic : publisher.address(account.tenant, topic)
    if (address instanceof Refusal) return address
    if (head.contentEncoding !== undefined && head.contentEncoding.toLowerCase() !== "identity") {
      return encoded(head.contentEncoding)
    }
    const known = head.contentType === undefined ? undefined : this.#types.of(head.contentType)
    const mode = known?.mode ?? "binary"
    const id = idOf(head, mode)
    if (id instanceof Refusal) return id
    const expectedLast = head.expectedLast as ExpectedLast | undefined
    return { head, address, type: known?.type, mode, expectedLast, id, prepare: this.#preparation(head) }
  }

  #preparation({ trace }: Head): (event: Event) => Event {
    const { eventBytesMax } = this.#options.limits
    return trace === undefined ? (event) => event : (event) => withTraceContext(event, trace, eventBytesMax)
  }

  /** Begins to read the body, unless it is refused at once. */
  #receive(request: Request): Refusal | undefined {
    const { bodyBytesMax, eventBytesMax } = this.#options.limits
    switch (request.mode) {
      case "unsupported":
        return unsupported
      case "ndjson":
        return this.#takeLines(request)
      case "batch":
        return this.#readBody(request, bodyBytesMax, bodyTooLarge(bodyBytesMax), (body, release) =>
          this.#publishBatch(request, body, release),
        )
      case "structured":
        // An event is larger in JSON than it counts: escapes, base64.
        return this.#readBody(request, eventBytesMax * 2, this.#tooLarge, (body, release) =>
          this.#publishOne(request, this.#json.decode(body), wayOf(request, release)),
        )
      case "binary":
        return this.#readBody(request, eventBytesMax, this.#tooLarge, (body, release) =>
          this.#publishOne(request, this.#decodeBinary(request, request.req.rawHeaders, body), wayOf(request, release)),
        )
    }
  }

  #readBody(
    { req, res, head }: Request,
    bytesMax: number,
    tooLarge: Refusal,
    onBody: (body: Buffer, release: () => void) => Refusal | undefined,
  ): Refusal | undefined {
    if (head.contentLength > bytesMax) return tooLarge
    if (head.asksFirst) res.writeContinue()
    readBody(req, {
      contentLength: head.contentLength,
      bytesMax,
      tooLarge,
      budget: this.#budget,
      paces: this.#paces,
      onBody: (body, release) => {
        try {
          const refusal = onBody(body, release)
          if (refusal === undefined) return
          release()
          this.#refuse(req, res, refusal)
        } catch (error) {
          release()
          this.#bug(req, res, error)
        }
      },
      onRefused: (refusal) => this.#refuse(req, res, refusal),
    })
    return undefined
  }

  #decodeBinary(
    { head, address, type, id }: Admitted,
    rawHeaders: readonly string[],
    body: Buffer,
  ): Event | InvalidEvent {
    if (head.attributes) return this.#binary.decode(rawHeaders, type, body)
    if (type !== undefined && !type.valid) return new InvalidEvent("the Content-Type header is no media type")
    const kind = this.#binary.kindOf(type, body)
    if (typeof kind !== "string") return InvalidEvent.of([kind])
    return this.#options.publisher.wrap(address, type, body, kind, id)
  }

  #publishOne(admitted: Admitted, event: Event | InvalidEvent, way: Way): Refusal | undefined {
    if (event instanceof InvalidEvent) return refusalOfInvalid(event)
    const { address, expectedLast, prepare } = admitted
    const { reply } = way
    this.#options.publisher.publish(address, [prepare(event)], expectedLast).then(
      (published) => {
        way.release()
        const one = published instanceof Refusal ? published : published[0]!
        if (one instanceof Refusal) return reply.problem(one)
        reply.accepted(appendedJson(event.id, one))
        this.#observeAnswered(way.begunAt)
      },
      (error: unknown) => {
        way.release()
        this.#options.onBug?.(error)
        reply.problem(failed)
      },
    )
    return undefined
  }

  takeDirect(request: DirectRequest, reply: Reply): boolean {
    try {
      const admitted = this.#admitDirect(request.head)
      if (admitted === undefined) return false
      const refusal = admitted instanceof Refusal ? admitted : this.#publishDirect(admitted, request, reply)
      if (refusal === undefined) return true
      this.#observeRefused(1, refusal.code)
      reply.problem(refusal)
    } catch (error) {
      this.#options.onBug?.(error)
      reply.problem(failed)
    }
    return true
  }

  /** A head that came before is looked at anew only where its key has come to be another tenant's, or nobody's. */
  #admitDirect(head: DirectHead): Admitted | Refusal | undefined {
    const known = head.known as Admitted | undefined
    if (known !== undefined) {
      if (this.#options.authorize(known.head.authorization)?.tenant === known.address.tenant) return known
      head.known = undefined
    }
    if (topicPart(head.url) === undefined) return undefined
    const admitted = this.#admit(head.url, head.rawHeaders)
    if (admitted instanceof Refusal) return admitted
    if (admitted.mode !== "structured" && admitted.mode !== "binary") return undefined
    head.known = admitted
    return admitted
  }

  #publishDirect(admitted: Admitted, { head, body }: DirectRequest, reply: Reply): Refusal | undefined {
    const begunAt = this.#options.clock.steady()
    const { eventBytesMax } = this.#options.limits
    const structured = admitted.mode === "structured"
    if (body.length > (structured ? eventBytesMax * 2 : eventBytesMax)) return this.#tooLarge
    if (!this.#budget.take(body.length)) return noRoom
    const release = () => this.#budget.give(body.length)
    try {
      const event = structured ? this.#json.decode(body) : this.#decodeBinary(admitted, head.rawHeaders, body)
      const refusal = this.#publishOne(admitted, event, { reply, begunAt, release })
      if (refusal !== undefined) release()
      return refusal
    } catch (error) {
      release()
      throw error
    }
  }

  #publishBatch(request: Request, body: Buffer, release: () => void): Refusal | undefined {
    const { publisher, limits } = this.#options
    const batch = this.#json.decodeBatch(body, limits.batchEventsMax)
    if (batch.kind === "too-many") return tooMany(limits.batchEventsMax)
    if (batch.kind === "invalid") return noBatch(batch.detail)
    const { req, res, address, expectedLast, prepare } = request
    publishItems(batch.items, {
      publisher,
      address,
      expectedLast,
      prepare,
      onDone: (tally, invalid) => {
        release()
        if (invalid > 0) this.#observeRefused(invalid)
        tally.answer(res)
        if (tally.rejected === 0) this.#observeAnswered(request.begunAt)
      },
      onBug: (error) => {
        release()
        this.#bug(req, res, error)
      },
    })
    return undefined
  }

  #takeLines({ req, res, head, address, expectedLast, prepare }: Request): Refusal | undefined {
    const { publisher, limits } = this.#options
    const { bodyBytesMax } = limits.bulk
    if (head.contentLength > bodyBytesMax) return bodyTooLarge(bodyBytesMax)
    if (head.asksFirst) res.writeContinue()
    takeLines(req, res, {
      publisher,
      decoder: this.#json,
      limits,
      budget: this.#budget,
      paces: this.#paces,
      address,
      expectedLast,
      prepare,
      onRefused: (events) => this.#observeRefused(events),
      onBug: (error) => this.#bug(req, res, error),
    })
    return undefined
  }

  /** The whole request is refused, perhaps before its body is there. */
  #refuse(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
    this.#observeRefused(1, refusal.code)
    answerProblem(res, refusal)
    if (req.complete) return
    if (refusal.code === "too-slow") cut(req, res)
    else drain(req, res)
  }

  #observeAnswered(begunAt: number): void {
    const { observe, clock } = this.#options
    if (observe?.answered !== undefined) observe.answered(clock.steady() - begunAt)
  }

  /** What is refused of a batch or of lines is so for what it is. */
  #observeRefused(refused: number, code: RefusalCode = "invalid-argument"): void {
    this.#options.observe?.published({ accepted: 0, duplicates: 0, refused, code, bytes: 0 })
  }

  #bug(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    this.#options.onBug?.(error)
    answerProblem(res, failed)
    if (!req.complete) drain(req, res)
  }
}

function wayOf({ req, res, begunAt }: Request, release: () => void): Way {
  const reply: Reply = {
    accepted: (body) => answerJson(res, 202, body),
    problem(refusal) {
      answerProblem(res, refusal)
      if (!req.complete) drain(req, res)
    },
  }
  return { reply, begunAt, release }
}

/** The id that an Idempotency-Key gives to raw input. */
function idOf({ idempotencyKey, attributes }: Head, mode: ContentMode): string | undefined | Refusal {
  if (idempotencyKey === undefined) return undefined
  return mode === "binary" && !attributes ? parseIdempotencyKey(idempotencyKey) : superfluousKey
}
