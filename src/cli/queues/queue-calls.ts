import type { Hub } from "../hub.ts"

/** A delivery that is leased. */
export interface WorkItem {
  readonly lease: string
  readonly delivery: string
  readonly attempt: number
  readonly trigger: string
  readonly topic: string
  readonly cursor: string
  /** Absent: never. */
  readonly expiresAt?: string
  readonly event: { readonly id: string; readonly type: string }
}

/** The flags of a worker. */
export interface Work {
  readonly exec: string
  readonly concurrency: number
  readonly retryAfter: string
  readonly lease: string
  readonly limit?: number
  readonly wait: boolean
}

/** Longer than the hub lets anybody wait. */
const timeoutMs = 90_000

export function queuePath(queue: string): string {
  return `/v1/queues/${encodeURIComponent(queue)}`
}

/** Leases; waits for `waitFor` where nothing is due. */
export async function leaseFrom(
  hub: Hub,
  queue: string,
  asked: { readonly max: number; readonly waitFor?: string | undefined; readonly lease?: string | undefined },
  signal?: AbortSignal,
): Promise<readonly WorkItem[]> {
  const path = `${queuePath(queue)}/lease`
  const request = { json: asked, timeoutMs, ...(signal && { signal }) }
  return (await hub.json<{ items: readonly WorkItem[] }>("POST", path, request)).items
}
