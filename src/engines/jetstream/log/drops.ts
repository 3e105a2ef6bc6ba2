import { ConflictError } from "../../../core/errors.ts"
import type { TopicIndex } from "../../parts/index/topic-index.ts"
import { JetStreamError } from "../request.ts"
import type { LogStream } from "./stream.ts"
import { type Gone, goneWindow, type Trims } from "./trims.ts"

/** Windows that are told of in one step. */
const windowsAtOnce = 50
/** Messages that are deleted at a time. */
const deletionsAtOnce = 64
const triesMax = 10

export interface DropsOptions {
  readonly tenant: string
  readonly topic: string
  readonly partition: number
  readonly stream: LogStream
  readonly trims: Trims
  /** The topic's, with what was told until now. */
  index(): Promise<TopicIndex>
}

/** Drops events of a topic at sequences; answers how many. It is told before it is done, and what is told is done at some time. */
export async function dropEvents(options: DropsOptions, sequences: readonly number[]): Promise<number> {
  await ended(options)
  let dropped = 0
  const sorted = [...new Set(sequences)].sort((a, b) => a - b)
  for (let from = 0; from < sorted.length; ) {
    const end = (Math.floor(sorted[from]! / goneWindow) + windowsAtOnce) * goneWindow
    const next = sorted.findIndex((sequence, i) => i > from && sequence >= end)
    const to = next < 0 ? sorted.length : next
    dropped += await dropSome(options, sorted.slice(from, to))
    from = to
  }
  return dropped
}

async function dropSome(options: DropsOptions, sequences: readonly number[]): Promise<number> {
  const { tenant, topic, partition, trims } = options
  // Ends: each time somebody else came first, so many times at most.
  for (let tries = 1; ; tries++) {
    // Before the index, which then knows of all that was told until then: what is told later is a conflict.
    const before = trims.gone(partition, tenant, topic)
    const index = await options.index()
    const going = index.present(sequences)
    if (going.length === 0) return 0
    const rows = index.goneWith(going)
    const open = going.map(({ position }) => position)
    const { version = 0, events = 0, last = 0, open: others = [] } = before ?? {}
    const told: Gone = {
      ...{ tenant, topic, version: version + 1, changed: [...rows.keys()], events },
      ...{ last: Math.max(last, open.at(-1)!), open: [...others, ...open] },
    }
    try {
      await trims.putGone(partition, told, before?.revision ?? 0, rows)
    } catch (error) {
      if (!(error instanceof ConflictError) || tries >= triesMax) throw error
      continue
    }
    await ended(options)
    await options.index()
    return going.length
  }
}

/** Does what was told. */
async function ended(options: DropsOptions): Promise<void> {
  const { tenant, topic, partition, stream, trims } = options
  // Ends: each time somebody else came first, so many times at most.
  for (let tries = 1; ; tries++) {
    const found = trims.gone(partition, tenant, topic)
    if (found?.open === undefined) return
    const { open, revision, ...gone } = found
    for (let i = 0; i < open.length; i += deletionsAtOnce) {
      await Promise.all(open.slice(i, i + deletionsAtOnce).map((sequence) => deleteMessage(stream, sequence)))
    }
    try {
      await trims.putGone(partition, { ...gone, events: gone.events + open.length }, revision)
      return
    } catch (error) {
      if (!(error instanceof ConflictError) || tries >= triesMax) throw error
    }
  }
}

async function deleteMessage(stream: LogStream, sequence: number): Promise<void> {
  try {
    await stream.delete(sequence)
  } catch (error) {
    const isRefused = error instanceof Error && error.cause instanceof JetStreamError
    // It is refused where the message is not there any more.
    if (!isRefused || (await stream.message({ seq: sequence })) !== undefined) throw error
  }
}
