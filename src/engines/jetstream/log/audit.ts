import type { NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import { UnavailableError } from "../../../core/errors.ts"
import type { Logger } from "../../../core/logger.ts"
import type { Names } from "../names.ts"
import { ask } from "../request.ts"
import { WriterNumbers } from "./audit-writers.ts"
import { Link } from "./link.ts"
import { DamagedMessage } from "./message.ts"
import { Puller } from "./puller.ts"
import { asciiOf, headerOf } from "./raw-message.ts"
import { type Delivered, Messages } from "./stored-message.ts"
import { LogStream } from "./stream.ts"
import { type Gone, type Trim, Trims } from "./trims.ts"

/** Something that is not as it should be. */
export type AuditFinding =
  /** A message that does not check. */
  | { readonly kind: "damaged"; readonly sequence: number; readonly subject: string; readonly detail: string }
  /** An event that is stored twice. */
  | { readonly kind: "duplicate"; readonly sequence: number; readonly subject: string; readonly detail: string }
  /** Sequences of the stream that hold nothing, and that no retention dropped; `count` of those from `from` to `to`. */
  | {
      readonly kind: "gap"
      readonly from: number
      readonly to: number
      readonly count: number
      readonly detail: string
    }
  /** Messages that a writer numbered and that are not there, though the stream has no gap where they were. */
  | {
      readonly kind: "lost"
      readonly writer: string
      readonly from: number
      readonly to: number
      readonly count: number
      /** Between the messages at these sequences. */
      readonly after: number
      readonly before: number
    }

export interface AuditReport {
  readonly stream: string
  /** Whether all of it was read. */
  readonly complete: boolean
  readonly messages: number
  readonly bytes: number
  readonly lastSequence: number
  /** What retention dropped. */
  readonly dropped: number
  /** The first 1,000. */
  readonly findings: readonly AuditFinding[]
  readonly findingsCount: number
}

export interface AuditOptions {
  readonly nats: NatsConnection
  readonly names: Names
  readonly partition: number
  readonly clock: Clock
  readonly log: Logger
  /** Called now and then with the sequence reached, and the last one. */
  progress(done: number, total: number): void
  readonly stop: AbortSignal
}

const findingsMax = 1_000
const idsMax = 250_000
const stepMessages = 2_000
const stalledMsMax = 15_000
const nanosPerMs = 1_000_000

interface StreamInfo {
  readonly config: { readonly num_replicas: number; readonly duplicate_window: number }
  readonly state: { readonly last_seq: number }
}

/** Reads a whole partition, and reports what is damaged, missing or there twice. Throws UnavailableError. */
export async function auditPartition(options: AuditOptions): Promise<AuditReport> {
  const { nats, clock, names, partition, log } = options
  const name = names.logStream(partition)
  const { config, state } = await ask<StreamInfo>(nats, `STREAM.INFO.${name}`)
  const replicas = config.num_replicas
  const stream = new LogStream({ nats, clock, name, replicas })
  const trims = await Trims.open({ nats, names, replicas, clock, log })
  const link = new Link(nats)
  const puller = new Puller({ nats, link, clock, stream, replicas, subjects: [], after: 0, pullMax: stepMessages })
  try {
    const windowMs = config.duplicate_window / nanosPerMs
    const of = { stream: stream.name, lastSequence: state.last_seq, windowMs }
    const dropped = { trims: [...trims.all(partition)], gone: [...trims.allGone(partition)] }
    const audit = new Audit(options, { ...of, ...dropped })
    const complete = await readAll(options, puller, state.last_seq, audit)
    return audit.report(complete)
  } finally {
    puller.close()
    link.close()
    await trims.close()
  }
}

/** Whether it came to the end. */
async function readAll({ clock, progress, stop }: AuditOptions, puller: Puller, end: number, audit: Audit) {
  let position = 0
  let progressAt = clock.steady()
  while (position < end) {
    if (stop.aborted) return false
    const taken = puller.take(stepMessages)
    for (const message of taken) if (message.sequence <= end) audit.add(message)
    const reached = taken.at(-1)?.sequence ?? puller.position
    if (reached > position) {
      position = Math.min(reached, end)
      progressAt = clock.steady()
      progress(position, end)
    } else if (!(puller.caughtUp && (await puller.reached(end)))) {
      if (clock.steady() - progressAt > stalledMsMax) throw new UnavailableError("the stream cannot be read at present")
      await puller.more(stop, stalledMsMax / 100)
    }
  }
  return true
}

interface AuditedStream {
  readonly stream: string
  readonly lastSequence: number
  /** How long the server knew a message again by its id. */
  readonly windowMs: number
  readonly trims: readonly Trim[]
  readonly gone: readonly Gone[]
}

class Audit {
  readonly #options: AuditOptions
  readonly #of: AuditedStream
  readonly #messages: Messages
  readonly #writers: WriterNumbers
  readonly #ids = new RecentIdentities(idsMax)
  readonly #findings: AuditFinding[] = []
  /** Below it, retention may have dropped anything. */
  readonly #trimmedTo: number
  readonly #trimmed: number
  #count = 0
  #read = 0
  #bytes = 0
  #next = 1
  #droppable = 0
  /** Sequences that hold nothing, for whatever reason. */
  #absent = 0

  constructor(options: AuditOptions, of: AuditedStream) {
    const { trims, gone } = of
    this.#options = options
    this.#of = of
    this.#messages = new Messages(options.names)
    this.#trimmedTo = Math.max(1, ...trims.map(({ sequence }) => sequence), ...gone.map(({ last }) => last + 1))
    this.#trimmed =
      trims.reduce((sum, { events, open = 0 }) => sum + events + open, 0) +
      gone.reduce((sum, { events, open = [] }) => sum + events + open.length, 0)
    this.#writers = new WriterNumbers((missing) => this.#find({ kind: "lost", ...missing }))
  }

  add(message: Delivered): void {
    const { sequence, header, data } = message
    const subject = asciiOf(message.subject as Uint8Array)
    this.#skip(sequence)
    this.#next = sequence + 1
    this.#read++
    this.#bytes += subject.length + (header?.length ?? 0) + data.length
    const event = this.#messages.read(this.#options.partition, message)
    if (event instanceof DamagedMessage) {
      this.#find({ kind: "damaged", sequence, subject, detail: event.reason })
    }
    this.#checkHeader(message, subject, header === undefined ? "" : asciiOf(header))
  }

  report(complete: boolean): AuditReport {
    if (complete) {
      this.#skip(this.#of.lastSequence + 1)
      this.#writers.conclude()
      this.#checkTrims()
    }
    return {
      stream: this.#of.stream,
      complete,
      messages: this.#read,
      bytes: this.#bytes,
      lastSequence: this.#of.lastSequence,
      dropped: this.#droppable,
      findings: this.#findings,
      findingsCount: this.#count,
    }
  }

  /** What lies between the last message and this one is missing. */
  #skip(sequence: number): void {
    const from = this.#next
    this.#absent += sequence - from
    const trimmedEnd = Math.min(sequence, this.#trimmedTo)
    this.#droppable += Math.max(0, trimmedEnd - from)
    const start = Math.max(from, trimmedEnd)
    if (start >= sequence) return
    const detail = "no retention dropped these"
    this.#find({ kind: "gap", from: start, to: sequence - 1, count: sequence - start, detail })
  }

  /** Which of the sequences retention dropped is not known, only how many. */
  #checkTrims(): void {
    const count = this.#droppable - this.#trimmed
    if (count <= 0) return
    const detail = `retention dropped ${this.#trimmed} here, and ${this.#droppable} are missing`
    this.#find({ kind: "gap", from: 1, to: this.#trimmedTo - 1, count, detail })
  }

  #checkHeader({ sequence, storedAt }: Delivered, subject: string, header: string): void {
    const written = headerOf(header, "redcar-writer")
    const dot = written?.lastIndexOf(".") ?? -1
    if (written !== undefined && dot > 0) {
      const [writer, number] = [written.slice(0, dot), Number(written.slice(dot + 1))]
      const voids = headerOf(header, "redcar-void")
      if (!this.#writers.add({ sequence, writer, number, voids, absent: this.#absent })) {
        this.#find({ kind: "duplicate", sequence, subject, detail: `the writer's message ${written} is there before` })
      }
    }
    const id = headerOf(header, "Nats-Msg-Id")
    if (id === undefined) return
    const before = this.#ids.add(id, { sequence, storedAt })
    if (before !== undefined && storedAt - before.storedAt < this.#of.windowMs) {
      this.#find({ kind: "duplicate", sequence, subject, detail: `the same message id is at ${before.sequence}` })
    }
  }

  #find(finding: AuditFinding): void {
    this.#count++
    if (this.#findings.length < findingsMax) this.#findings.push(finding)
  }
}

interface Identified {
  readonly sequence: number
  readonly storedAt: number
}

/** The message ids of the last `max` messages at least, and twice as many at most. */
class RecentIdentities {
  readonly #max: number
  #newer = new Map<string, Identified>()
  #older = new Map<string, Identified>()

  constructor(max: number) {
    this.#max = max
  }

  /** Where the same id was before. */
  add(id: string, at: Identified): Identified | undefined {
    const before = this.#newer.get(id) ?? this.#older.get(id)
    if (this.#newer.size >= this.#max) {
      this.#older = this.#newer
      this.#newer = new Map()
    }
    this.#newer.set(id, at)
    return before
  }
}
