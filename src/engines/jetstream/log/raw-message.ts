import type { Msg, NatsConnection } from "@nats-io/nats-core"

/** A message in the bytes that came, none of them decoded or copied. */
export interface RawMessage {
  readonly subject: Uint8Array
  readonly reply: Uint8Array | undefined
  /** The block of headers with its status line; undefined where there is none. */
  readonly header: Uint8Array | undefined
  readonly data: Uint8Array
}

/** How the client's message looks inside: its own getters decode each part anew, which costs more than all the rest. */
interface Inside {
  readonly _msg: { readonly subject: Uint8Array; readonly reply?: Uint8Array; readonly hdr: number }
  readonly _rdata: Uint8Array
}

/** The bytes of a message that a subscription got. */
export function rawOf(message: Msg): RawMessage {
  const { _msg, _rdata } = message as unknown as Inside
  const { subject, reply, hdr } = _msg
  return hdr > 0
    ? { subject, reply, header: _rdata.subarray(0, hdr), data: _rdata.subarray(hdr) }
    : { subject, reply, header: undefined, data: _rdata }
}

const pullBytes = 4 << 20

/** Bytes to ask for at once: some megabytes, and never less than a message may have. */
export function pullBytesOf({ info }: NatsConnection): number {
  return Math.max(pullBytes, 2 * (info?.max_payload ?? 0))
}

/** The text of ASCII bytes. */
export function asciiOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")
}

/** The status in a header's first line, as in `NATS/1.0 408 Request Timeout`; 0 where there is none. */
export function statusOf(header: Uint8Array): number {
  if (header.length < 12 || header[8] !== 0x20) return 0
  const code = Number.parseInt(asciiOf(header.subarray(9, 12)), 10)
  return Number.isNaN(code) ? 0 : code
}

/** The value of a header by its exact name; undefined where it is not there. */
export function headerOf(text: string, name: string): string | undefined {
  const at = text.indexOf(`\r\n${name}:`)
  if (at < 0) return undefined
  const start = at + name.length + 3
  return text.slice(start, text.indexOf("\r\n", start)).trim()
}

/** Where a delivered message was in its stream and its consumer. */
export interface DeliveryPlace {
  readonly sequence: number
  readonly consumerSequence: number
  /** When it was stored, Unix milliseconds. */
  readonly storedAt: number
  /** How many more the consumer had then. */
  readonly pending: number
}

const dot = 0x2e

/**
 * Reads a delivered message's reply subject:
 * `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<consumer's sequence>.<nanoseconds>.<pending>`, or with a domain and an
 * account after ACK and perhaps one more token at the end.
 */
export function placeOf(reply: Uint8Array): DeliveryPlace {
  let dots = 0
  for (let i = 0; i < reply.length; i++) if (reply[i] === dot) dots++
  let at = 0
  for (let skip = dots === 8 ? 5 : 7; skip > 0; at++) if (reply[at] === dot) skip--
  const number = (drop: number): number => {
    let end = at
    while (end < reply.length && reply[end] !== dot) end++
    let value = 0
    for (let i = at; i < end - drop; i++) value = value * 10 + reply[i]! - 0x30
    at = end + 1
    return value
  }
  const sequence = number(0)
  const consumerSequence = number(0)
  // Nanoseconds do not fit a double: the last six digits are left out.
  const storedAt = number(6)
  return { sequence, consumerSequence, storedAt, pending: number(0) }
}
