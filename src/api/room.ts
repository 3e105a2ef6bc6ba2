import type { ServerResponse } from "node:http"
import type { FastifyReply } from "fastify"
import type { Budget } from "../core/budget.ts"
import { smallBytes } from "../core/budget.ts"
import type { Clock } from "../core/clock.ts"
import { ProblemError } from "./errors.ts"
import type { App } from "./routes.ts"

/** Answers that are being made or wait for their clients, of all clients together. */
export const answersBytesMax = 64 * 1024 * 1024
/** A client has this long for an answer, and a second more for each so many bytes. */
const takingMs = 60_000
const takingBytesPerSecond = 64 * 1024

/** Answers that are large count against `room` until they are sent or their client is gone; where it is full, 503. */
export function boundAnswers(app: App, room: Budget, clock: Clock): void {
  app.addHook("onSend", (request, reply: FastifyReply, payload: unknown, done) => {
    const bytes = bytesOf(payload)
    // What needs no key is one buffer for everyone.
    if (bytes <= smallBytes || request.routeOptions.config?.open === true) return done()
    if (!room.take(bytes)) return done(noRoom())
    hold(reply.raw, bytes, room, clock)
    done()
  })
}

function bytesOf(payload: unknown): number {
  if (typeof payload === "string") return payload.length
  return Buffer.isBuffer(payload) ? payload.length : 0
}

/** Gives the bytes back when the answer is over, and ends it where its client is too slow. */
function hold(response: ServerResponse, bytes: number, room: Budget, clock: Clock): void {
  if (response.destroyed) {
    room.give(bytes)
    return
  }
  const cancel = clock.after(takingMs + (bytes / takingBytesPerSecond) * 1_000, () => response.destroy())
  response.once("close", () => {
    cancel()
    room.give(bytes)
  })
}

/** More answers wait for their clients than memory is set aside for. */
export function noRoom(): ProblemError {
  return new ProblemError(
    "overloaded",
    "too many large answers wait for their clients; try again soon, or ask for less at a time",
    { headers: { "retry-after": "1" } },
  )
}
