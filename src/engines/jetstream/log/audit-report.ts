import type { AuditFinding, AuditReport } from "../../../core/audit.ts"
import { type AuditOptions, auditPartition, type AuditFinding as StreamFinding } from "./audit.ts"

/** Audits a partition's stream, and says what was found in words. Throws UnavailableError. */
export async function auditStream(options: AuditOptions): Promise<AuditReport> {
  const { stream, complete, messages, bytes, dropped, findings, findingsCount } = await auditPartition(options)
  return { name: stream, complete, events: messages, bytes, dropped, findings: findings.map(told), findingsCount }
}

function told(finding: StreamFinding): AuditFinding {
  switch (finding.kind) {
    case "damaged":
    case "duplicate":
      return { kind: finding.kind, detail: `message ${finding.sequence} (${finding.subject}): ${finding.detail}` }
    case "gap":
      return { kind: "missing", detail: `messages ${range(finding)}: ${finding.detail}` }
    case "lost": {
      const { writer, after, before } = finding
      const where = `between messages ${after} and ${before}`
      return {
        kind: "missing",
        detail: `numbers ${range(finding)} of writer ${writer}, ${where}: they were never stored`,
      }
    }
  }
}

function range({ from, to, count }: { readonly from: number; readonly to: number; readonly count: number }): string {
  return from === to ? String(from) : `${from} to ${to} (${count})`
}
