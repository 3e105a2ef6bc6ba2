import type { ServerResponse } from "node:http"
import type { FastifyReply } from "fastify"
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

/** Answers that are large count against `room` until they are sent or their client is gone; where it is full, 503. */
export function boundAnswers(app: App, room: AnswerRoom, clock: Clock): void {
  app.addHook("onSend", (request, reply: FastifyReply, payload: unknown, done) => {
    const bytes = bytesOf(payload)
    // What needs no key is one buffer for everyone.
    if (bytes <= smallBytes || request.routeOptions.config?.open === true) return done()
    const tenant = tenantOf(request)
    const refusal = room.take(tenant, bytes)
    if (refusal !== undefined) return done(refusal)
    hold(reply.raw, bytes, () => room.give(tenant, bytes), clock)
    done()
  })
}

function bytesOf(payload: unknown): number {
  if (typeof payload === "string") return payload.length
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
