import Type, { type Static } from "typebox"
import { parseDuration } from "../../config/quantities.ts"
import { foreverMs } from "../../core/deliveries.ts"
import type { DestinationKind } from "../../core/destination.ts"

/** How long a worker may have a delivery. */
export const [leaseMsMin, leaseMsMax] = [100, 86_400_000]
const leaseDefaultMs = 30_000
const never = "never"

const queueConfig = Type.Object(
  {
    lease: Type.Optional(
      Type.String({
        pattern: "^([0-9]+([.][0-9]+)?(ms|s|m|h)|never)$",
        errorMessage: 'must be a duration such as "30s" or "5m", or never',
        default: "30s",
        description:
          "How long a worker has a delivery that it leases, where it does not say: 100ms to 24h; or never: its lease never lapses, so " +
          "that no other gets it unless it is unlocked.",
        examples: ["30s", "never"],
      }),
    ),
    attemptsMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: "After so many attempts a delivery is given up. Default: as its trigger's retry policy says.",
      }),
    ),
  },
  { additionalProperties: false },
)

export type QueueConfig = Static<typeof queueConfig>

/** What a queue's config comes to. */
export function queueSettings(config: QueueConfig): { readonly leaseMs: number; readonly attemptsMax?: number } {
  const { lease, attemptsMax } = config
  const leaseMs = leaseMsOf(lease)
  return { leaseMs, ...(attemptsMax !== undefined && { attemptsMax }) }
}

/** NaN: it is none. */
function leaseMsOf(lease: string | undefined): number {
  if (lease === never) return foreverMs
  const ms = lease === undefined ? leaseDefaultMs : parseDuration(lease)
  return typeof ms === "number" ? ms : Number.NaN
}

/** Deliveries that wait until workers lease them. */
export const queueKind: DestinationKind<QueueConfig> = {
  kind: "queue",
  description: "Keeps deliveries until workers lease them over the API, one worker each at a time; nothing is sent.",
  config: queueConfig,
  isPulled: true,
  check({ lease }) {
    const ms = leaseMsOf(lease)
    if (ms === foreverMs || (ms >= leaseMsMin && ms <= leaseMsMax)) return []
    return [{ field: "lease", message: "must be 100ms to 24h, or never" }]
  },
  signing: () => undefined,
  async open() {
    return {
      send: async () => ({ kind: "failed", detail: "nothing is sent to a queue: workers lease", permanent: false }),
      close: async () => {},
    }
  },
}
