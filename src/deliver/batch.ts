import { createHash } from "node:crypto"
import type { Attempt } from "../core/delivery.ts"
import type { Batch } from "../core/destination.ts"
import type { ReadyJob } from "./job.ts"
import type { Replies } from "./replies.ts"
import type { Sent } from "./sender-slot.ts"

/** What goes in one request at `at` (Unix milliseconds); its id is the same for the same deliveries. */
export function batchOf(jobs: readonly ReadyJob[], at: number, replies: Replies): Batch {
  const dispatches = jobs.map(({ job: { lease }, stored, isAnswered }) => {
    const { delivery, attempt } = lease
    return { stored, delivery, attempt, at, ...(isAnswered && { reply: replies.to(delivery, stored.event) }) }
  })
  return { id: idOf(dispatches), dispatches }
}

function idOf(dispatches: Batch["dispatches"]): string {
  if (dispatches.length === 1) return dispatches[0]!.delivery.id
  const hash = createHash("sha256")
  for (const { delivery } of dispatches) hash.update(`${delivery.id} `)
  return `batch_${hash.digest("hex").slice(0, 24)}`
}

/** What came of the attempt that is `index` in the batch. */
export function attemptOf(
  { job }: ReadyJob,
  index: number,
  when: Pick<Attempt, "startedAt" | "durationMs">,
  { id, dispatches }: Batch,
  sent: Sent,
): Attempt {
  const events = dispatches.length
  const outcome = sent.each?.[index] ?? sent.answer
  return { number: job.lease.attempt, ...when, outcome, ...(events > 1 && { batch: { id, events } }) }
}
