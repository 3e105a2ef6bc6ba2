import { type MsgHdrs, type NatsConnection, nuid } from "@nats-io/nats-core"
import { UnavailableError } from "../../core/errors.ts"
import { bucketStream } from "./plans.ts"
import { reasons } from "./reasons.ts"
import { ask, JetStreamError, type Storing } from "./request.ts"

/** Which bucket, and how to ask for what it has. */
interface Place {
  readonly nats: NatsConnection
  readonly name: string
}

/** What the servers have under a key. */
export interface Newest {
  /** Of the value, or of what marks that it was deleted; 0: nothing is there. */
  readonly revision: number
  readonly live: boolean
  readonly text: string
  readonly messageId: string | undefined
}

/** How long a deletion is told to those who were away; who was away longer reads all anew. */
const markerTtl = "1h"
/** Where the messages stand that only carry conditions: deletions of what is never there. They are gone in a moment. */
const conditionKey = "-"
const conditionTtl = "1s"
const operation = "KV-Operation"
const markerReason = "Nats-Marker-Reason"
const expectedLast = "Nats-Expected-Last-Subject-Sequence"

/** A value, or undefined for its deletion; `last`: what the newest message of the key has to be. */
export function storingOf(
  { name }: Pick<Place, "name">,
  key: string,
  text: string | undefined,
  last: number | undefined,
): Storing {
  return {
    subject: subjectOf(name, key),
    payload: text ?? "",
    messageId: nuid.next(),
    headers: {
      ...(last !== undefined && { [expectedLast]: String(last) }),
      ...(text === undefined && { [operation]: "DEL", "Nats-TTL": markerTtl }),
    },
  }
}

/** What only asks that the newest message of a key is `last`. Each message can ask about one. */
export function conditionOf({ name }: Pick<Place, "name">, key: string, last: number): Storing {
  return {
    subject: subjectOf(name, conditionKey),
    payload: "",
    messageId: nuid.next(),
    headers: {
      [expectedLast]: String(last),
      [`${expectedLast}-Subject`]: subjectOf(name, key),
      [operation]: "DEL",
      "Nats-TTL": conditionTtl,
    },
  }
}

/** Whether a message says that its key is no more. */
export function isDeletion(headers: MsgHdrs | undefined): boolean {
  return headers !== undefined && (headers.has(operation) || headers.has(markerReason))
}

/** As the leader has it. Throws UnavailableError. */
export async function newestIn({ nats, name }: Place, key: string): Promise<Newest> {
  try {
    const { message } = await ask<{ message: { seq: number; hdrs?: string; data?: string } }>(
      nats,
      `STREAM.MSG.GET.${bucketStream(name)}`,
      { last_by_subj: subjectOf(name, key) },
    )
    const lines = Buffer.from(message.hdrs ?? "", "base64")
      .toString("latin1")
      .split("\r\n")
    const messageId = lines.find((line) => line.startsWith("Nats-Msg-Id:"))?.slice("Nats-Msg-Id:".length)
    const deleted = lines.some((line) => line.startsWith(`${operation}:`) || line.startsWith(`${markerReason}:`))
    const text = Buffer.from(message.data ?? "", "base64").toString()
    return { revision: message.seq, live: !deleted, text, messageId: messageId?.trim() }
  } catch (error) {
    if (!(error instanceof JetStreamError)) throw error
    if (error.code === reasons.noMessage) return { revision: 0, live: false, text: "", messageId: undefined }
    throw new UnavailableError(`NATS cannot read ${key}: ${error.message}`, { cause: error })
  }
}

/** 0: nothing is there. */
export function revisionIn({ live, revision }: Newest): number {
  return live ? revision : 0
}

/** The key that a bucket's message is of. */
export function keyOf({ name }: Pick<Place, "name">, subject: string): string {
  const token = subject.slice(subjectOf(name, "").length)
  return token.includes("=") ? decodeURIComponent(token.replaceAll("=", "%")) : token
}

function subjectOf(name: string, key: string): string {
  return `$KV.${name}.${tokenOf(key)}`
}

/** Keys of NATS are made of letters, digits and `-/_=.`; a dot separates, and `=` escapes here. */
function tokenOf(key: string): string {
  return key.replace(/[^A-Za-z0-9_/-]/gu, (text) =>
    [...Buffer.from(text)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  )
}
