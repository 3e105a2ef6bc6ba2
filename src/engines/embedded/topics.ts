import { isReservedTopic } from "../../core/address.ts"
import type { Catalog } from "../../core/catalog.ts"
import { topicKeys } from "../../core/catalog-keys.ts"
import type { Clock } from "../../core/clock.ts"
import { isDelayed } from "../../core/delayed.ts"
import { StorageFullError } from "../../core/errors.ts"
import { newTopic } from "../../core/resources.ts"
import type { SegmentLog } from "./log/log.ts"

/** As long as topics recognise a repeated event where nobody says how long. */
const dedupeWindowMsDefault = 86_400_000

/** What topics are made again with. */
export interface TopicDefaults {
  readonly clock: Clock
  readonly dedupeWindowMs?: number
}

/** Makes topics again that have events, and that the catalog has lost. */
export async function makeTopicsAgain(log: SegmentLog, catalog: Catalog, defaults: TopicDefaults): Promise<void> {
  const { clock, dedupeWindowMs = dedupeWindowMsDefault } = defaults
  try {
    for (const { tenant, topic } of log.topics()) {
      if (isReservedTopic(topic) || isDelayed({ topic }) || (await log.last({ tenant, topic })) === undefined) continue
      const key = topicKeys.of({ tenant, id: topic })
      if ((await catalog.get(key)) !== undefined) continue
      await catalog.put(key, newTopic(tenant, topic, clock.now(), dedupeWindowMs), 0)
    }
  } catch (error) {
    // Without room the next publish makes its topic.
    if (!(error instanceof StorageFullError)) throw error
  }
}
