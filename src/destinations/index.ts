import type { Clock } from "../core/clock.ts"
import type { DestinationKind } from "../core/destination.ts"
import { queueKind } from "./queue/kind.ts"
import { topicKind } from "./topic/kind.ts"
import type { Resolve } from "./webhook/connect.ts"
import type { GuardSettings } from "./webhook/guard.ts"
import { webhookKind } from "./webhook/kind.ts"

export interface DestinationKindsOptions {
  readonly clock: Clock
  /** Which addresses webhooks may reach. */
  readonly guard: GuardSettings
  /** The DNS name in which webhooks' receivers are asked whether they agree; default: that of the public URL, or else the machine's. */
  readonly origin?: string | undefined
  /** The hub's public URL; default: it has none. */
  readonly publicUrl?: string | undefined
  /** Finds the addresses of a name. Default: the system's resolver. */
  readonly resolve?: Resolve
}

/** Every kind of destination by its name. Throws RangeError for a guard range that is none. */
export function destinationKinds(options: DestinationKindsOptions): ReadonlyMap<string, DestinationKind> {
  const kinds = [webhookKind(options), topicKind, queueKind] as readonly DestinationKind[]
  return new Map(kinds.map((kind) => [kind.kind, kind]))
}
