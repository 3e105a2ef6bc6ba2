import type { ServerResponse } from "node:http"
import type { FastifyReply, FastifyRequest } from "fastify"
import { Budget, smallBytes } from "../core/budget.ts"
import type { Clock } from "../core/clock.ts"
import { ProblemError } from "./errors.ts"
import { Holdings } from "./places.ts"
import { type App, tenantOf } from "./routes.ts"

/** Answers that are being made or wait for their clients, of all clients together. */
export const answersBytesMax = 64 * 1024 * 1024
/** A client has this long for an answer, and a second more for each so many bytes. */
const takingMs = 60_000
const takingBytesPerSecond = 64 * 1024

/** What large answers hold, in bytes; those of one tenant have half of it at most, so that none keeps out the others. */
export class AnswerRoom {
  readonly #budget = new Budget(answersBytesMax)
  readonly #held = new Holdings()
  readonly #shares = new WeakMap<FastifyRequest, Share>()

  /** Whether its answer has begun to hold something. */
  isShared(request: FastifyRequest): boolean {
    return this.#shares.has(request)
  }

  /** What the answer to this request holds, from when it is begun until it is sent. */
  shareOf(request: FastifyRequest): Share {
    let share = this.#shares.get(request)
    if (share === undefined) {
      share = new Share(this, tenantOf(request))
      this.#shares.set(request, share)
    }
    return share
  }

  get taken(): number {
    return this.#budget.taken
  }

  /** What is answered instead where they do not fit; nothing is taken then. `held`: what the same answer has already. */
  take(tenant: string, bytes: number, held = 0): ProblemError | undefined {
    if (this.#held.of(tenant) + bytes > answersBytesMax / 2) return noRoom(`of tenant ${tenant}`)
    if (!this.#budget.take(bytes, held)) return noRoom()
    this.#held.add(tenant, bytes)
    return undefined
  }

  give(tenant: string, bytes: number): void {
    this.#budget.give(bytes)
    this.#held.add(tenant, -bytes)
  }
}

/**
 * One answer's part of the room. What an answer is made of is taken before it is read, so that one that has no room costs
 * nothing.
 */
export class Share {
  readonly #room: AnswerRoom
  readonly #tenant: string
  #bytes = 0
  #added = 0

  constructor(room: AnswerRoom, tenant: string) {
    this.#room = room
    this.#tenant = tenant
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Holds so many at least; answers what is answered instead where there is no room for them. */
  hold(bytes: number): ProblemError | undefined {
    const more = bytes - this.#bytes
    if (more <= 0) return undefined
    const refusal = this.#room.take(this.#tenant, more, this.#bytes)
    if (refusal === undefined) this.#bytes = bytes
    return refusal
  }

  /** Is to be so much larger; while it is small it takes no room. Throws ProblemError where there is none. */
  add(bytes: number): void {
    this.#added += bytes
    if (this.#added <= smallBytes) return
    const refusal = this.hold(this.#added)
    if (refusal !== undefined) throw refusal
  }

  /** Holds no more than so many. */
  shrink(bytes: number): void {
    const less = this.#bytes - bytes
    if (less <= 0) return
    this.#room.give(this.#tenant, less)
    this.#bytes = bytes
  }
}

/** Answers that are large count against `room` until they are sent or their client is gone; where it is full, 503. */
export function boundAnswers(app: App, room: AnswerRoom, clock: Clock): void {
  app.addHook("onSend", (request, reply: FastifyReply, payload: unknown, done) => {
    // What needs no key is one buffer for everyone.
    if (request.routeOptions.config?.open === true) return done()
    const bytes = bytesOf(payload)
    const isSmall = bytes <= smallBytes
    if (isSmall && !room.isShared(request)) return done()
    const share = room.shareOf(request)
    share.shrink(isSmall ? 0 : bytes)
    if (isSmall) return done()
    const refusal = share.hold(bytes)
    if (refusal !== undefined) {
      share.shrink(0)
      return done(refusal)
    }
    hold(reply.raw, bytes, () => share.shrink(0), clock)
    // One copy waits for the client, instead of the text and its bytes.
    done(null, typeof payload === "string" ? Buffer.from(payload) : payload)
  })
}

function bytesOf(payload: unknown): number {
  if (typeof payload === "string") return Buffer.byteLength(payload)
  return Buffer.isBuffer(payload) ? payload.length : 0
}

/** Gives the bytes back when the answer is over, and ends it where its client is too slow. */
function hold(response: ServerResponse, bytes: number, giveBack: () => void, clock: Clock): void {
  if (response.destroyed) {
    giveBack()
    return
  }
  const cancel = clock.after(takingMs + (bytes / takingBytesPerSecond) * 1_000, () => response.destroy())
  response.once("close", () => {
    cancel()
    giveBack()
  })
}

/** More answers wait for their clients than memory is set aside for. */
function noRoom(whose?: string): ProblemError {
  const answers = whose === undefined ? "large answers" : `large answers ${whose}`
  return new ProblemError(
    "overloaded",
    `too many ${answers} wait for their clients; try again soon, or ask for less at a time`,
    { headers: { "retry-after": "1" } },
  )
}
