import type { Chance, Clock } from "../core/clock.ts"
import type { DestinationKind } from "../core/destination.ts"
import type { Engine } from "../core/engine.ts"
import type { Logger } from "../core/logger.ts"
import type { Secrets } from "../core/secrets.ts"
import type { Serial } from "../core/serial.ts"

/** What is needed to know, and to change, what resources there are. */
export interface ResourceContext {
  readonly engine: Engine
  readonly clock: Clock
  readonly chance: Chance
  readonly kinds: ReadonlyMap<string, DestinationKind>
  /** What a topic is that nobody has made: whether a trigger or a publish makes it, and how. */
  readonly topics: { readonly autoCreate: boolean; readonly dedupeWindowMs: number }
  /** The largest event that may be published. */
  readonly eventBytesMax?: number
  /** Since when there are the hub's own topics, in Unix milliseconds. */
  readonly startedAt: number
  /**
   * Runs changes of resources one after another, so that what one has checked (the destination exists, no trigger names
   * the topic) still holds when it is written.
   */
  readonly changes: Serial
  /** Default: secrets are stored as they are. */
  readonly secrets?: Secrets
  readonly log?: Logger
}
