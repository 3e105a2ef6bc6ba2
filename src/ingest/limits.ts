import type { PublishLimits } from "./publish.ts"

/** What publishing takes at most. */
export interface IngestLimits extends PublishLimits {
  /** Events of one JSON batch. */
  readonly batchEventsMax: number
  /** The body of a JSON batch. */
  readonly bodyBytesMax: number
  /** Bodies held in memory at once, of all requests. */
  readonly bodiesInFlightBytesMax: number
  /** Of one NDJSON request, which is never held whole. */
  readonly bulk: {
    readonly eventsMax: number
    readonly bodyBytesMax: number
  }
}

/** What holds where no setting says otherwise. */
export const defaultLimits: IngestLimits = {
  eventBytesMax: 512 << 10,
  topicsAutoCreate: true,
  batchEventsMax: 10_000,
  bodyBytesMax: 16 << 20,
  bodiesInFlightBytesMax: 128 << 20,
  bulk: { eventsMax: 100_000, bodyBytesMax: 64 << 20 },
}
