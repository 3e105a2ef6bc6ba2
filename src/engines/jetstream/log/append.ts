import { hash } from "node:crypto"
import { crc32 } from "node:zlib"
import { type Address, isReservedTopic } from "../../../core/address.ts"
import type { Event } from "../../../core/event.ts"
import type { Names } from "../names.ts"
import type { Answer } from "./answer.ts"
import { encodeMessage } from "./message.ts"
import type { Frame, Outgoing, PublishPipeline, TopicOrder } from "./pipeline.ts"
import { formatVoids } from "./voids.ts"

/** What is known of an address that is appended to. */
export interface Target {
  readonly address: Address
  readonly partition: number
  readonly pipeline: PublishPipeline
  readonly topic: TopicState
  /** Where it is published. */
  readonly subject: string
  /** Where it is stored. */
  readonly storedSubject: string
  readonly subjectCrc: number
  /** The key, where it is not in the subject. */
  readonly hiddenKey: string | undefined
}

/** What is known of a topic that is appended to. */
export interface TopicState extends TopicOrder {
  /** Appends that must look something up first go one after another, and what comes after them waits. */
  turn: Promise<unknown> | undefined
}

/** One event on its way. */
export interface Sending {
  readonly event: Event
  /** By which the server knows it when it comes again. */
  readonly messageId: string
  readonly storedAt: number | undefined
  /** More lines for the server, with their ends. */
  readonly lines?: string
}

/** The id of a message that is not to be known again but as itself. */
export function uniqueId(writer: string, partition: number, number: number): string {
  return `${writer}.${partition}.${number}`
}

/** The id of an event that is to be known when it comes again: the same for the same source and id on a tenant's topic. */
export function eventId({ tenant, topic }: Address, { source, id }: { readonly source: string; readonly id: string }) {
  return hash("sha256", `${tenant}\0${topic}\0${source}\0${id}`, "base64url").slice(0, 22)
}

export interface TargetOptions {
  readonly names: Names
  readonly pipeline: PublishPipeline
  readonly partition: number
  readonly topic: TopicState
}

export function targetOf(address: Address, { names, pipeline, partition, topic }: TargetOptions): Target {
  const storedSubject = names.subjectOf(address)
  return {
    address,
    partition,
    pipeline,
    topic,
    subject: names.logSubjectOf(partition, address),
    storedSubject,
    subjectCrc: crc32(storedSubject),
    hiddenKey: isReservedTopic(address.topic) ? address.key : undefined,
  }
}

export interface SendOptions {
  readonly target: Target
  readonly writer: string
  readonly deadline: number
}

/** One message for one event. `done` is called once. */
export function single(options: SendOptions, sending: Sending, done: (answer: Answer) => void): Outgoing {
  const number = options.target.pipeline.nextNumber()
  const voids = options.target.pipeline.voids.take()
  const frame = frameOf(options, sending, number, voids, sending.lines ?? "")
  return outgoing(options, [number], voids, [frame], () => [frame], done)
}

/** Several events that are stored whole or not at all; `lines` are for the first. At most 1,000. */
export function batch(
  options: SendOptions,
  sendings: readonly Sending[],
  lines: string,
  batchId: () => string,
  done: (answer: Answer) => void,
): Outgoing {
  const { pipeline } = options.target
  const numbers = sendings.map(() => pipeline.nextNumber())
  const voids = pipeline.voids.take()
  const frames = (): readonly Frame[] => {
    // The server remembers a batch that was cut off: sent again, it is another one.
    const id = batchId()
    return sendings.map((sending, i) => {
      const commit = i === sendings.length - 1 ? "Nats-Batch-Commit: 1\r\n" : ""
      const server = `Nats-Batch-Id: ${id}\r\nNats-Batch-Sequence: ${i + 1}\r\n${commit}${i === 0 ? lines : ""}`
      return frameOf(options, sending, numbers[i]!, i === 0 ? voids : undefined, server)
    })
  }
  return outgoing(options, numbers, voids, frames(), frames, done)
}

function frameOf(
  { target, writer }: SendOptions,
  { event, messageId, storedAt }: Sending,
  number: number,
  voids: readonly number[] | undefined,
  lines: string,
): Frame {
  const id = messageId === "" ? uniqueId(writer, target.partition, number) : messageId
  const encoded = encodeMessage(event, {
    subjectCrc: target.subjectCrc,
    key: target.hiddenKey,
    storedAt,
    voids: voids && formatVoids(voids),
    writer,
    number,
    serverLines: `Nats-Msg-Id: ${id}\r\n${lines}`,
  })
  return { subject: target.subject, ...encoded }
}

function outgoing(
  { target, deadline }: SendOptions,
  numbers: readonly number[],
  voids: readonly number[] | undefined,
  first: readonly Frame[],
  frames: () => readonly Frame[],
  done: (answer: Answer) => void,
): Outgoing {
  const sizes = first.map(({ header, payload }) => header.length + payload.length)
  return {
    topic: target.topic,
    number: numbers.at(-1)!,
    numbers,
    voids,
    bytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
    largestBytes: Math.max(...sizes),
    deadline,
    frames,
    done,
    sentAt: 0,
    sendings: 0,
    failed: false,
    held: undefined,
    token: undefined,
  }
}
