import { expect } from "vitest"
import type { Cursor } from "../../core/cursor.ts"
import type { Lease } from "../../core/deliveries.ts"
import { type DeadLetter, type DeadReason, type Delivery, deliveryId } from "../../core/delivery.ts"
import type { DeliveryQueue } from "../../core/queue.ts"

/** A queue, and a log of which it can name places. */
export interface QueueUnderTest {
  readonly queue: DeliveryQueue
  /** So many cursors, each beyond the one before, also beyond those of earlier calls. */
  cursors(count: number): Promise<readonly Cursor[]>
}

export const leaseMs = 2_000
export const lane = "acme/d1"

export function delivery(
  cursor: Cursor,
  parts: Partial<
    Pick<Delivery, "trigger" | "incarnation" | "destination" | "tenant" | "fingerprint" | "orderKey">
  > = {},
): Delivery {
  const { trigger = "t1", incarnation = "i1", destination = "d1", tenant = "acme", fingerprint = 7, orderKey } = parts
  return {
    id: deliveryId(cursor, trigger, incarnation),
    tenant,
    trigger,
    incarnation,
    destination,
    cursor,
    fingerprint,
    ...(orderKey !== undefined && { orderKey }),
  }
}

export const take = (queue: DeliveryQueue, max = 10, from = lane) => queue.lease({ lane: from, max, leaseMs })

/** The one delivery that is due. */
export async function takeOne(queue: DeliveryQueue, from = lane): Promise<Lease> {
  const leases = await take(queue, 10, from)
  expect(leases).toHaveLength(1)
  return leases[0]!
}

export const ids = (leases: readonly Lease[]) => leases.map((lease) => lease.delivery.id)

export function letter(d: Delivery, reason: DeadReason = "exhausted"): DeadLetter {
  return {
    ...d,
    address: { tenant: d.tenant, topic: "orders", key: "7" },
    reason,
    attempts: 1,
    diedAt: 1_000,
    lastOutcome: {
      kind: "failed",
      detail: "503 Service Unavailable",
      permanent: false,
      response: { status: 503, headers: { "retry-after": "1" }, body: "é", bodyEncoding: "utf8", bodyTruncated: false },
    },
  }
}
