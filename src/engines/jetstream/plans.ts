import type { Names } from "./names.ts"

/** How a stream is to be, as JetStream's API writes it. What it does not name is the operator's to set. */
export interface StreamPlan {
  readonly name: string
  readonly num_replicas: number
  readonly [setting: string]: unknown
}

/** What of the hub's settings decides how its streams are. */
export interface PlanOptions {
  readonly names: Names
  readonly partitions: number
  readonly replicas: number
  readonly dedupeWindowMsMax: number
}

export const nanosPerMs = 1_000_000
const journalWindowMs = 120_000
const refusedMsMax = 30 * 86_400_000
const bucketWindowMs = 120_000

/** Every stream that a hub has. */
export function plannedStreams(options: PlanOptions): readonly StreamPlan[] {
  const { names, partitions, replicas } = options
  const numbers = Array.from({ length: partitions }, (_, number) => number)
  return [
    ...[names.catalogBucket, names.assignmentsBucket, names.auditBucket].map((name) => bucketPlan(name, replicas)),
    ...numbers.map((number) => logPlan(options, number)),
    ...numbers.map((number) =>
      journalPlan({ stream: names.queueStream(number), subject: names.queueSubject(number), replicas }),
    ),
    inboxPlan(options),
    refusedPlan(options),
  ]
}

/** A partition of the log. */
export function logPlan(
  { names, replicas, dedupeWindowMsMax }: Omit<PlanOptions, "partitions">,
  partition: number,
): StreamPlan {
  return {
    name: names.logStream(partition),
    subjects: [names.logSubjects(partition)],
    subject_transform: { src: names.logSubjects(partition), dest: `${names.prefix}.>` },
    retention: "limits",
    storage: "file",
    discard: "old",
    num_replicas: replicas,
    allow_direct: true,
    allow_atomic: true,
    duplicate_window: dedupeWindowMsMax * nanosPerMs,
  }
}

/** The journal of a queue shard. */
export function journalPlan(config: {
  readonly stream: string
  readonly subject: string
  readonly replicas: number
}): StreamPlan {
  return {
    name: config.stream,
    subjects: [config.subject],
    retention: "limits",
    storage: "file",
    discard: "old",
    num_replicas: config.replicas,
    duplicate_window: journalWindowMs * nanosPerMs,
    allow_direct: true,
  }
}

/** What others publish, until it is settled. */
export function inboxPlan({ names, replicas }: Pick<PlanOptions, "names" | "replicas">): StreamPlan {
  return {
    name: names.inboxStream,
    subjects: [names.inboxSubjects],
    retention: "workqueue",
    storage: "file",
    num_replicas: replicas,
    // The least there is: a message id of one tenant must not make another's message a duplicate.
    duplicate_window: 100 * nanosPerMs,
  }
}

/** What of it was refused. */
export function refusedPlan({ names, replicas }: Pick<PlanOptions, "names" | "replicas">): StreamPlan {
  return {
    name: names.refusedStream,
    subjects: [names.refusedSubjects],
    retention: "limits",
    storage: "file",
    discard: "old",
    num_replicas: replicas,
    max_age: refusedMsMax * nanosPerMs,
    allow_direct: true,
  }
}

/** A bucket's stream is named as the key-value stores of NATS name it. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`
}

export function bucketPlan(bucket: string, replicas: number): StreamPlan {
  return {
    name: bucketStream(bucket),
    subjects: [`$KV.${bucket}.>`],
    storage: "file",
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    discard: "new",
    allow_rollup_hdrs: true,
    allow_direct: true,
    allow_msg_ttl: true,
    allow_atomic: true,
    deny_delete: true,
    duplicate_window: bucketWindowMs * nanosPerMs,
  }
}
