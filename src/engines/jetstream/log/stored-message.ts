import { crc32 } from "node:zlib"
import { type Address, isReservedTopic } from "../../../core/address.ts"
import type { StoredEvent } from "../../../core/log.ts"
import type { Names } from "../names.ts"
import { formatCursor } from "./cursor.ts"
import { DamagedMessage, MessageDecoder } from "./message.ts"
import { asciiOf, headerOf } from "./raw-message.ts"

const subjectsMax = 10_000
const nothing = new Uint8Array()

interface KnownSubject {
  readonly address: Address
  readonly crc: number
}

/** A message as it comes from a stream. */
export interface Delivered {
  readonly subject: Uint8Array | string
  readonly sequence: number
  readonly storedAt: number
  readonly header: Uint8Array | undefined
  readonly data: Uint8Array
}

/** Reads the messages of the partitions' streams as events. */
export class Messages {
  readonly #names: Names
  readonly #decoder = new MessageDecoder()
  readonly #subjects = new Map<string, KnownSubject>()

  constructor(names: Names) {
    this.#names = names
  }

  /** The event; or what is wrong with the message. */
  read(partition: number, message: Delivered): StoredEvent | DamagedMessage {
    const subject = this.#subject(typeof message.subject === "string" ? message.subject : asciiOf(message.subject))
    if (subject === undefined) return new DamagedMessage("its subject is no event's")
    const decoded = this.#decoder.decode(message.header ?? nothing, message.data, subject.crc)
    if (decoded instanceof DamagedMessage) return decoded
    const { event, key, storedAt = message.storedAt } = decoded
    const { address } = subject
    return {
      address: key === undefined ? address : { ...address, key },
      cursor: formatCursor(partition, message.sequence),
      storedAt,
      event,
    }
  }

  /** The address of a subject, as far as the subject says it; one object each. */
  addressOf(subject: Uint8Array): Address | undefined {
    return this.#subject(asciiOf(subject))?.address
  }

  #subject(text: string): KnownSubject | undefined {
    const known = this.#subjects.get(text)
    if (known !== undefined) return known
    const address = this.#names.addressOf(text)
    if (address === undefined || (isReservedTopic(address.topic) && address.key !== undefined)) return undefined
    if (this.#subjects.size >= subjectsMax) this.#subjects.clear()
    const subject = { address, crc: crc32(text) }
    this.#subjects.set(text, subject)
    return subject
  }
}

/** When a message's event was stored: of a copy, where it comes from. */
export function storedAtOf({ header, storedAt }: Pick<Delivered, "header" | "storedAt">): number {
  const given = header === undefined ? undefined : headerOf(asciiOf(header), "redcar-stored-at")
  return given === undefined ? storedAt : Number(given)
}
