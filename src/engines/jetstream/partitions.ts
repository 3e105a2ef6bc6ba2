import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../core/clock.ts"
import { ConflictError } from "../../core/errors.ts"
import { retryAtStart } from "../../core/start-retry.ts"
import type { Bucket } from "./bucket.ts"
import { NatsRefusedError } from "./connection.ts"
import type { Names } from "./names.ts"
import { bucketStream } from "./plans.ts"
import { reasons } from "./reasons.ts"
import { JetStreamError } from "./request.ts"
import { askAtStart } from "./start-requests.ts"
import { findStream } from "./streams.ts"

const key = "partitions"

/** How many partitions the log was made with; undefined where nothing was made yet. */
export async function findPartitions(nats: NatsConnection, clock: Clock, names: Names): Promise<number | undefined> {
  const stream = bucketStream(names.assignmentsBucket)
  if ((await findStream(nats, clock, stream)) === undefined) return undefined
  try {
    const asked = { last_by_subj: `$KV.${names.assignmentsBucket}.${key}` }
    const { message } = await askAtStart<{ message: { data?: string } }>(nats, clock, `STREAM.MSG.GET.${stream}`, asked)
    return Number(Buffer.from(message.data ?? "", "base64").toString())
  } catch (error) {
    if (error instanceof JetStreamError && error.code === reasons.noMessage) return undefined
    throw error
  }
}

/** Another number would look for topics where they are not. Throws NatsRefusedError. */
export function refuseOtherPartitions(made: number | undefined, partitions: number): void {
  if (made === undefined || made === partitions) return
  throw new NatsRefusedError(`the log was made with ${made} partitions, and the settings say ${partitions}`, [
    `Set nats.partitions to ${made}.`,
    "To have another number, move to another nats.prefix: redcar migrate",
  ])
}

/** Keeps how many there are, where nobody has. Throws NatsRefusedError where others were first, with another number. */
export async function agreeOnPartitions(bucket: Bucket, clock: Clock, partitions: number): Promise<void> {
  try {
    await retryAtStart(clock, () => bucket.put(key, String(partitions), 0))
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    refuseOtherPartitions(Number(bucket.get(key)?.text), partitions)
  }
}
