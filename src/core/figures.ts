/**
 * What an engine tells of itself at present, by name, with what each means. `/metrics` shows them as `redcar_<name>`; an engine
 * tells those that it has.
 */
export const engineFigures = {
  log_bytes: "Bytes that the log takes where it is stored.",
  log_events: "Events that the log's streams hold.",
  log_segments: "Segment files of the log.",
  log_end_position_bytes: "Where the log ends: all bytes that were ever written to it.",
  log_pending_bytes: "Bytes of events that wait to become durable.",
  log_pending_messages: "Messages that NATS has not acknowledged yet.",
  log_partitions: "Partitions of the log.",
  log_damages: "Stretches of the log that cannot be read.",
  log_damaged_bytes: "Bytes of the log that are there and do not check.",
  log_missing_bytes: "Bytes of the log that are not there.",
  disk_free_bytes: "Bytes that can still be written to the log's disk, when it was last looked at.",
  disk_reserve_bytes: "Publishing is refused while less than this is free on the disk.",
  journal_bytes: "Bytes of the queue's and the catalog's changes since they were last written anew.",
  queue_pending_bytes: "Bytes of changes of the queue that wait for NATS.",
  queue_shards: "Shards of the queue that this process holds.",
  lanes: "Destinations that are owed something.",
  deliveries_open: "Deliveries that are neither done nor dead.",
  deliveries_in_memory: "Due deliveries that are held in memory.",
  leases: "Deliveries that are leased.",
} as const

export type FigureName = keyof typeof engineFigures
export type Figures = Readonly<Partial<Record<FigureName, number>>>

/** What a destination is owed. */
export interface LaneBacklog {
  readonly tenant: string
  readonly destination: string
  /** Deliveries that are neither done nor dead, parked and held ones too. */
  readonly open: number
  /** When the delivery of the oldest event among them first became due, in Unix milliseconds; asking costs a look into the store. */
  oldestDueAt(): number | undefined
}

/** What is under way to a destination. */
export interface LaneWork {
  readonly tenant: string
  readonly destination: string
  /** Leases in hand. */
  readonly inFlight: number
  readonly breaker: "closed" | "half-open" | "open"
}
