import type { CommonOptions, Context } from "../command.ts"
import { FailedError } from "../failures.ts"
import { linesOf } from "../lines.ts"
import { counted, plural, startProgress } from "../progress.ts"

/** What the hub found in one partition of its log. */
export interface PartitionReport {
  readonly kind: "report"
  readonly partition: number
  readonly name: string
  readonly complete: boolean
  readonly events: number
  readonly bytes: number
  readonly dropped?: number
  readonly findings: readonly { readonly kind: string; readonly detail: string }[]
  readonly findingsCount: number
}

type Line =
  | { readonly kind: "progress"; readonly partition: number; readonly partitions: number; readonly share: number }
  | PartitionReport
  | { readonly kind: "failed"; readonly detail: string }

const barUnits = 10_000

/** Has the hub read all that it stores, and shows how far it is. Ctrl-C breaks off, and with it the hub's reading. */
export async function auditHub(context: Context, options: CommonOptions): Promise<readonly PartitionReport[]> {
  const { terminal } = context
  const signal = terminal.interrupted()
  const progress = startProgress(terminal, barUnits)
  const reports: PartitionReport[] = []
  let partitions = 1
  try {
    const response = await context.hub(options).send("POST", "/v1/audit", { json: {}, signal })
    for await (const line of linesOf<Line>(response)) {
      if (line.kind === "failed") throw new FailedError(line.detail)
      if (line.kind === "report") reports.push(line)
      else {
        partitions = line.partitions
        const done = ((line.partition + line.share) / partitions) * barUnits
        progress.update(done, `reading partition ${line.partition + 1} of ${partitions}`)
      }
    }
  } catch (error) {
    if (signal.aborted) throw new FailedError("stopped: the log was not read to its end")
    throw error
  } finally {
    progress.end()
  }
  if (reports.length < partitions)
    throw new FailedError("the hub broke off before the end", ["Try again; its log says more."])
  return reports
}

/** `12,400 events, 300 dropped by retention`. */
export function summary({ events, dropped = 0, findingsCount }: PartitionReport): string {
  const gone = dropped === 0 ? "" : `, ${counted(dropped)} dropped by retention`
  return `${plural(events, "event")}${gone}${findingsCount === 0 ? "; all there, once, and whole" : ""}`
}
