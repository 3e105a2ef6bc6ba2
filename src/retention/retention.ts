import { type Clock, sleep } from "../core/clock.ts"
import type { Engine } from "../core/engine.ts"
import { ClosedError } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"
import type { Topic } from "../core/resources.ts"

export interface RetentionOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly log: Logger
  /** Between two rounds; default: a minute. */
  readonly everyMs?: number
}

/** Drops, round after round, what topics no longer keep: in one process of all. */
export function startRetention(options: RetentionOptions): { stop(): Promise<void> } {
  const stop = new AbortController()
  const done = takeTurns(options, stop.signal)
  return {
    async stop() {
      stop.abort()
      await done
    },
  }
}

async function takeTurns(options: RetentionOptions, stop: AbortSignal): Promise<void> {
  for await (const share of options.engine.shares.take("retention", 1, stop)) {
    await run(options, AbortSignal.any([stop, share.lost]))
    await share.release()
  }
}

async function run(options: RetentionOptions, stop: AbortSignal): Promise<void> {
  const { engine, clock, log, everyMs = 60_000 } = options
  while (!stop.aborted) {
    await sleep(clock, everyMs, stop)
    for (const { value } of await topicsOf(engine, log)) {
      if (stop.aborted) return
      await trim(engine, log, value)
    }
  }
}

async function topicsOf(engine: Engine, log: Logger) {
  try {
    return await engine.catalog.list<Topic>("topic/")
  } catch (error) {
    if (!(error instanceof ClosedError))
      log.error({ err: error }, "retention could not list the topics; it tries again")
    return []
  }
}

/** One topic's trouble is not another's: what fails is said, and tried again in the next round. */
async function trim(engine: Engine, log: Logger, topic: Topic): Promise<void> {
  if (Object.keys(topic.retention).length === 0) return
  try {
    const dropped = await engine.log.trim({ tenant: topic.tenant, topic: topic.id }, topic.retention)
    if (dropped > 0) log.info({ tenant: topic.tenant, topic: topic.id, dropped }, "retention dropped events")
  } catch (error) {
    if (!(error instanceof ClosedError)) log.error({ err: error, topic: topic.id }, "retention failed on a topic")
  }
}
