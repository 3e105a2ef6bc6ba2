import { ago } from "../output.ts"
import type { Column } from "../table.ts"

/** How a destination fares, as the API tells it. */
export interface ApiLaneStatus {
  readonly breaker: string
  readonly restsUntil?: string
  readonly awaits?: string
  readonly waiting?: number
  readonly oldestDueAt?: string
  readonly recent?: { readonly attempts: number; readonly successRate?: number }
  readonly lastError?: { readonly at: string; readonly detail: string }
}

/** Whether what is due is sent: `closed`; `open, in 12s` while nothing is for so long. */
export function breakerText({ breaker, restsUntil, awaits }: ApiLaneStatus, now: number): string {
  if (awaits !== undefined) return `waits for the receiver's agreement, asks ${ago(restsUntil, now)}`
  return restsUntil === undefined ? breaker : `${breaker === "closed" ? "rests" : breaker}, ${ago(restsUntil, now)}`
}

/** What waits, and how it went lately. */
export const laneColumns: readonly Column<{ readonly status?: ApiLaneStatus }>[] = [
  { title: "breaker", value: ({ status }) => (status ? breakerText(status, Date.now()) : "-") },
  { title: "waiting", value: ({ status }) => String(status?.waiting ?? "-"), align: "right" },
  { title: "oldest", value: ({ status }) => ago(status?.oldestDueAt, Date.now()), align: "right" },
  { title: "5 min", value: ({ status }) => shareText(status?.recent?.successRate), align: "right" },
  { title: "last error", value: ({ status }) => errorText(status) },
]

/** Rounded down: what failed at all is not 100%. */
function shareText(share: number | undefined): string {
  return share === undefined ? "-" : `${Math.floor(share * 100)}%`
}

function errorText({ lastError }: Partial<ApiLaneStatus> = {}): string {
  return lastError === undefined ? "" : `${lastError.detail}, ${ago(lastError.at, Date.now())} ago`
}
