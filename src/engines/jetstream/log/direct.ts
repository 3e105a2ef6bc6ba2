import { createInbox, type NatsConnection } from "@nats-io/nats-core"
import type { Clock } from "../../../core/clock.ts"
import { ClosedError, UnavailableError } from "../../../core/errors.ts"
import { asciiOf, headerOf, type RawMessage, rawOf, statusOf } from "./raw-message.ts"
import type { Delivered } from "./stored-message.ts"

/** Messages of a subject in order, from any copy of the stream: the newest may be missing where there are several. */
export interface Glance {
  readonly messages: readonly Delivered[]
  /** Whether the copy had no more. */
  readonly complete: boolean
}

export interface GlanceOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly stream: string
  /** With wildcards. */
  readonly subject: string
  readonly after: number
  readonly max: number
}

const answerMsMax = 3_000
const bytesMax = 4 << 20

/** Reads up to `max` messages after a sequence without a consumer, in one asking. Throws UnavailableError, ClosedError. */
export function glance({ nats, clock, stream, subject, after, max }: GlanceOptions): Promise<Glance> {
  if (nats.isClosed()) return Promise.reject(new ClosedError())
  return new Promise((resolve, reject) => {
    const messages: Delivered[] = []
    const inbox = createInbox()
    const end = () => {
      cancel()
      if (!nats.isClosed()) subscription.unsubscribe()
    }
    const cancel = clock.after(answerMsMax, () => {
      end()
      reject(new UnavailableError(`no copy of the stream ${stream} answers`))
    })
    const subscription = nats.subscribe(inbox, {
      callback: (error, message) => {
        const raw = error === null ? rawOf(message) : undefined
        const status = raw?.header === undefined ? 0 : statusOf(raw.header)
        if (raw !== undefined && status === 0) {
          messages.push(deliveredOf(raw))
          return
        }
        end()
        const complete = status === 404 || headerOf(asciiOf(raw?.header ?? nothing), "Nats-Num-Pending") === "0"
        if (status === 404 || status === 204) resolve({ messages, complete })
        else reject(new UnavailableError(`no copy of the stream ${stream} can be read at present`))
      },
    })
    const request = { seq: after + 1, next_by_subj: subject, batch: max, max_bytes: bytesMax }
    nats.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(request), { reply: inbox })
  })
}

const nothing = new Uint8Array()

/** A message that a copy of a stream answered with: its place is in its headers. */
export function deliveredOf({ header, data }: RawMessage): Delivered & { readonly subject: string } {
  const text = asciiOf(header!)
  return {
    subject: headerOf(text, "Nats-Subject") ?? "",
    sequence: Number(headerOf(text, "Nats-Sequence")),
    storedAt: Date.parse(headerOf(text, "Nats-Time-Stamp") ?? ""),
    header,
    data,
  }
}
