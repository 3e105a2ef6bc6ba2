import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../core/clock.ts"
import { isAway, retryAtStart } from "../../core/start-retry.ts"
import { NatsRefusedError } from "./connection.ts"
import { isPassing, reasons } from "./reasons.ts"
import { ask, JetStreamError } from "./request.ts"

/**
 * Asks JetStream's API what a start needs to know or have: again and again while servers do not answer yet, as where a cluster
 * has just started and has no leader. So only what may be asked twice. Throws JetStreamError and NoAnswerError.
 */
export function askAtStart<T>(nats: NatsConnection, clock: Clock, subject: string, body?: unknown): Promise<T> {
  return retryAtStart(clock, () => ask<T>(nats, subject, body), isStarting)
}

const whileStarting: ReadonlySet<number> = new Set([reasons.noSuitablePeers, reasons.notEnabledForAccount])

function isStarting(error: unknown): boolean {
  if (!(error instanceof JetStreamError)) return isAway(error)
  return isPassing(error.code) || whileStarting.has(error.code)
}

/** Does what a start or a command needs of NATS. Throws NatsRefusedError where NATS does not answer, or refuses it. */
export async function orRefused<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isAway(error)) throw refused("NATS does not do at present what is needed", error as Error, nextAway)
    if (error instanceof JetStreamError) throw refused("NATS refuses what is needed", error, nextRefused)
    throw error
  }
}

const nextAway = [
  "See that its servers run and reach each other: a cluster answers once more than half of them do, and have a leader.",
  "Then try it again; nothing has to be put back.",
]
const nextRefused = ["Look at the servers' log, and at the limits and permissions of the hub's account."]

function refused(what: string, cause: Error, next: readonly string[]): NatsRefusedError {
  return new NatsRefusedError(`${what}: ${cause.message}`, next, { cause })
}
