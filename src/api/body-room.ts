import type { FastifyReply, FastifyRequest, RequestPayload } from "fastify"
import { Budget } from "../core/budget.ts"
import type { Clock } from "../core/clock.ts"
import { ProblemError } from "./errors.ts"
import type { App } from "./routes.ts"

/** Bodies of requests in memory at once, of all clients together; each has 1 MiB at most. */
export const bodiesBytesMax = 32 * 1024 * 1024
/** A body has to be there within this time. */
export const bodyWithinMs = 30_000

/** Bodies take memory as they come, of an amount for all, until they are answered; one that does not come is a 408. */
export function boundBodies(app: App, clock: Clock): void {
  const room = new Budget(bodiesBytesMax)
  app.addHook("preParsing", (request: FastifyRequest, reply: FastifyReply, payload: RequestPayload, done) => {
    const { "content-length": length, "transfer-encoding": coding } = request.headers
    if (coding === undefined && !(Number(length) > 0)) return done(null, payload)
    let held = 0
    // The parser answers what it is told as an error. The connection ends, for the rest of the body may still come.
    const refuse = (problem: ProblemError) => {
      cancel()
      payload.off("data", take)
      if (payload.listenerCount("error") === 0) return
      reply.header("connection", "close")
      payload.emit("error", problem)
    }
    const cancel = clock.after(bodyWithinMs, () => refuse(tooSlow()))
    const take = (chunk: Buffer) => {
      if (room.take(chunk.length, held)) held += chunk.length
      else refuse(full())
    }
    payload.on("data", take)
    payload.on("end", cancel)
    reply.raw.once("close", () => {
      cancel()
      room.give(held)
    })
    done(null, payload)
  })
}

function tooSlow(): ProblemError {
  return new ProblemError("too-slow", `the body has not come within ${bodyWithinMs / 1_000} s; send it again`)
}

function full(): ProblemError {
  return new ProblemError("overloaded", "too many bodies are being received at once; try again soon", {
    headers: { "retry-after": "1" },
  })
}
