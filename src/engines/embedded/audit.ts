import type { AuditOptions, AuditReport } from "../../core/audit.ts"
import { parseCursor } from "./log/cursor.ts"
import type { SegmentLog } from "./log/log.ts"

/**
 * Reads the whole log, and so checks every record: each carries a CRC that is seeded with its place, so that one that is
 * missing or in another's place does not check either.
 */
export async function auditLog(log: SegmentLog, { progress, stop }: AuditOptions): Promise<AuditReport> {
  const until = await log.head()
  const total = parseCursor(until)
  let [events, bytes] = [0, 0]
  for await (const batch of log.read({ until })) {
    events += batch.events.length
    for (const { event } of batch.events) bytes += event.attributesJson.length + (event.data?.length ?? 0)
    if (stop.aborted) break
    progress(Math.min(total, parseCursor(batch.next)), total)
  }
  const damaged = log.damaged()
  return {
    name: "log",
    complete: !stop.aborted,
    events,
    bytes,
    findings: damaged.map((detail) => ({ kind: "damaged", detail })),
    findingsCount: damaged.length,
  }
}
