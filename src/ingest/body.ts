import type { IncomingMessage } from "node:http"
import type { Budget } from "../core/budget.ts"
import { Collector } from "../formats/collector.ts"
import { type Paces, tooSlow } from "./pace.ts"
import { Refusal } from "./refusal.ts"

export interface BodyOptions {
  /** What the head says; NaN where it does not. With the last byte the body is there, before the request's end. */
  readonly contentLength: number
  readonly bytesMax: number
  /** What to answer when there is more. */
  readonly tooLarge: Refusal
  readonly budget: Budget
  readonly paces: Paces
  /** The body, whole. Its bytes count against the budget until `release` is called. */
  onBody(body: Buffer, release: () => void): void
  /** Called once instead, as soon as it is known; the rest of the body is still to come. */
  onRefused(refusal: Refusal): void
}

/** Reads a body into memory; a sender who hangs up before its end is forgotten. */
export function readBody(req: IncomingMessage, options: BodyOptions): void {
  const { budget } = options
  const collector = new Collector()
  let held = 0
  let ended = false
  const release = () => {
    budget.give(held)
    held = 0
  }
  const pace = options.paces.watch({ holds: true, onSlow: () => refuse(tooSlow) })
  const refuse = (refusal: Refusal) => {
    ended = true
    pace.end()
    collector.drop()
    release()
    options.onRefused(refusal)
  }
  req.on("data", (chunk: Buffer) => {
    if (ended) return
    if (collector.length + chunk.length > options.bytesMax) return refuse(options.tooLarge)
    if (!budget.take(chunk.length, held)) return refuse(noRoom)
    pace.took(chunk.length)
    held += chunk.length
    collector.push(chunk)
    if (collector.length === options.contentLength) finish()
  })
  const finish = () => {
    if (ended) return
    ended = true
    pace.end()
    options.onBody(collector.take(), release)
  }
  req.on("end", finish)
  req.on("close", () => {
    if (ended) return
    ended = true
    pace.end()
    collector.drop()
    release()
  })
}

/** More bodies are on their way in than memory is set aside for. */
export const noRoom = new Refusal("overloaded", "too many bodies are being received at once; try again soon", {
  retryAfterMs: 1_000,
})
