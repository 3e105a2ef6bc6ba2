import { isAddressRange } from "./addresses.ts"
import { formatBytes } from "./quantities.ts"
import type { Settings } from "./schema.ts"

/** What two settings may not say together, and what to do about it. */
export interface Contradiction {
  /** The settings, by name. */
  readonly settings: readonly string[]
  readonly message: string
}

type Limit = keyof Settings["limits"]

/** The first may not be more than the second divided by `factor`; `why` completes the sentence. */
interface AtMost {
  readonly small: Limit
  readonly large: Limit
  readonly factor: number
  readonly why: string
}

const order: readonly AtMost[] = [
  { small: "eventBytesMax", large: "bodyBytesMax", factor: 1, why: "the largest event has to fit in a request" },
  { small: "bodyBytesMax", large: "bodiesInFlightBytesMax", factor: 1, why: "one request has to fit in memory" },
  {
    small: "bodyBytesMax",
    large: "pendingBytesMax",
    factor: 1,
    why: "one request has to fit in what waits for the disk",
  },
  { small: "eventBytesMax", large: "segmentBytes", factor: 4, why: "a file of the log has to hold a few events" },
]

/** Everything that these settings say against each other; none means that they agree. */
export function contradictions(settings: Settings): readonly Contradiction[] {
  return [...limitsOutOfOrder(settings.limits), ...rangesThatAreNone(settings.destinations.allow)]
}

function limitsOutOfOrder(limits: Settings["limits"]): readonly Contradiction[] {
  return order
    .filter(({ small, large, factor }) => limits[small] * factor > limits[large])
    .map(({ small, large, factor, why }) => ({
      settings: [`limits.${small}`, `limits.${large}`],
      message:
        `limits.${small} is ${formatBytes(limits[small])} and limits.${large} ${formatBytes(limits[large])}, but ${why}: ` +
        `lower limits.${small} to ${formatBytes(Math.floor(limits[large] / factor))} or raise limits.${large} to ` +
        `${formatBytes(limits[small] * factor)}`,
    }))
}

function rangesThatAreNone(ranges: readonly string[]): readonly Contradiction[] {
  return ranges
    .filter((range) => !isAddressRange(range))
    .map((range) => ({
      settings: ["destinations.allow"],
      message: `destinations.allow holds ${JSON.stringify(range)}, which is no address range: write "10.0.0.0/8" or "fd00::/8"`,
    }))
}
