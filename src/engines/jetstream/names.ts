import { createHash } from "node:crypto"
import type { Address } from "../../core/address.ts"
import { isReservedTopic } from "../../core/address.ts"

/** What the hub's streams, subjects and buckets are called. */
export interface Names {
  /** First token of the subjects that anybody may read and publish on; `redcar` unless set otherwise. */
  readonly prefix: string
  /** First token of the subjects that are the hub's alone. */
  readonly own: string
  logStream(partition: number): string
  /** What a partition's stream takes. */
  logSubjects(partition: number): string
  /** Where an event is published for it to be stored under {@link Names.subjectOf}. */
  logSubjectOf(partition: number, address: Address): string
  /** `redcar.<tenant>.<topic>[.<key>]`. Of the hub's own topics the key is left out: there is one for every event. */
  subjectOf(address: Address): string
  /** The subjects of all that `where` names, keys and all. */
  subjectsOf(where: Partial<Address>): readonly string[]
  /** The inverse of {@link Names.subjectOf}; undefined where it is no such subject. */
  addressOf(subject: string): Address | undefined
  readonly inboxStream: string
  readonly inboxSubjects: string
  readonly refusedStream: string
  readonly refusedSubjects: string
  refusedSubjectOf(subject: string): string
  queueStream(shard: number): string
  queueSubject(shard: number): string
  queueRequests(shard: number): string
  readonly catalogBucket: string
  readonly assignmentsBucket: string
  readonly auditBucket: string
}

/** Names with a prefix of letters, digits, `_` and `-`. */
export function createNames(prefix: string): Names {
  const own = `_${prefix}`
  const stream = prefix.toUpperCase()
  const subjectOf = (address: Address) => `${prefix}.${pathOf(address)}`
  return {
    prefix,
    own,
    logStream: (partition) => `${stream}_LOG_${partition}`,
    logSubjects: (partition) => `${own}.log.${partition}.>`,
    logSubjectOf: (partition, address) => `${own}.log.${partition}.${pathOf(address)}`,
    subjectOf,
    subjectsOf: (where) => subjectsOf(prefix, where, subjectOf),
    addressOf: (subject) => addressOf(prefix, subject),
    inboxStream: `${stream}_INBOX`,
    inboxSubjects: `${prefix}.>`,
    refusedStream: `${stream}_REFUSED`,
    refusedSubjects: `${own}.refused.>`,
    refusedSubjectOf: (subject) => `${own}.refused.${subject}`,
    queueStream: (shard) => `${stream}_QUEUE_${shard}`,
    queueSubject: (shard) => `${own}.queue.${shard}`,
    queueRequests: (shard) => `${own}.rpc.queue.${shard}`,
    catalogBucket: `${prefix}_catalog`,
    assignmentsBucket: `${prefix}_shares`,
    auditBucket: `${prefix}_audit`,
  }
}

/** Always the same for the same topic and number of partitions, whatever process asks. */
export function partitionOf(address: { readonly tenant: string; readonly topic: string }, partitions: number): number {
  return partitions === 1 ? 0 : stableHash(`${address.tenant}/${address.topic}`) % partitions
}

/** 32 bits that spread evenly, and stay what they are from version to version. */
export function stableHash(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE(0)
}

function pathOf({ tenant, topic, key }: Address): string {
  const path = `${token(tenant)}.${token(topic)}`
  return key === undefined || isReservedTopic(topic) ? path : `${path}.${token(key)}`
}

function subjectsOf(
  prefix: string,
  { tenant, topic, key }: Partial<Address>,
  subjectOf: (address: Address) => string,
): readonly string[] {
  if (tenant === undefined) return [`${prefix}.>`]
  if (topic === undefined) return [`${prefix}.${token(tenant)}.>`]
  if (key !== undefined) return [subjectOf({ tenant, topic, key })]
  const subject = subjectOf({ tenant, topic })
  return isReservedTopic(topic) ? [subject] : [subject, `${subject}.*`]
}

function addressOf(prefix: string, subject: string): Address | undefined {
  const [first, ...rest] = subject.split(".")
  if (first !== prefix || rest.length < 2 || rest.length > 3) return undefined
  const [tenant, topic, key] = rest.map(untoken)
  if (tenant === undefined || topic === undefined || (rest.length === 3 && key === undefined)) return undefined
  return key === undefined ? { tenant, topic } : { tenant, topic, key }
}

/** What a subject's token cannot hold, and the sign of the escape. */
const escaped = /[.*>%\s\p{Cc}]/gu
const plainToken = /^[A-Za-z0-9_~@=+/-]+$/

function token(text: string): string {
  return plainToken.test(text) ? text : text.replace(escaped, encodeURIComponentWhole)
}

function encodeURIComponentWhole(text: string): string {
  return [...Buffer.from(text, "utf8")].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")
}

function untoken(text: string): string | undefined {
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
