import type { Clock } from "../../../core/clock.ts"
import type { LogIndex, Reached } from "../../parts/index/log-index.ts"
import type { RecentIds } from "../../parts/index/recent-ids.ts"
import type { Waiters } from "../../parts/index/waiters.ts"
import type { Store } from "../../parts/store.ts"
import type { LogHealth } from "./health.ts"
import type { LogJournal } from "./log-journal.ts"
import type { Reader } from "./reader.ts"
import type { Segments } from "./segments.ts"
import type { Writer } from "./writer.ts"

/** The parts of an open log, as its operations share them. */
export interface LogState {
  readonly segments: Segments
  readonly writer: Writer
  readonly reader: Reader
  readonly index: LogIndex
  readonly ids: RecentIds
  readonly clock: Clock
  readonly store: Store
  readonly waiters: Waiters
  readonly health: LogHealth
  readonly journal: LogJournal
  readonly reached: Reached
}
