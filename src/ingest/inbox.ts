import type { Address } from "../core/address.ts"
import { type Clock, sleep } from "../core/clock.ts"
import { Event } from "../core/event.ts"
import type { Inbox, InboxMessage } from "../core/inbox.ts"
import type { Logger } from "../core/logger.ts"
import { BinaryDecoder } from "../formats/http-binding.ts"
import { parseMediaType } from "../formats/media-type.ts"
import type { Publisher } from "./publish.ts"
import { Refusal, type RefusalCode } from "./refusal.ts"

export interface InboxOptions {
  readonly inbox: Inbox
  readonly publisher: Publisher
  readonly clock: Clock
  readonly log: Logger
}

/** Refusals that say nothing about the message: it is given back, and taken later. */
const passing: ReadonlySet<RefusalCode> = new Set(["overloaded", "storage-full", "internal"])
const restMs = 1_000

/** Takes in what others publish past the hub, like any other producer's events: checked, wrapped, known when they repeat. */
export function startInbox(options: InboxOptions): { readonly done: Promise<void>; stop(): Promise<void> } {
  const stop = new AbortController()
  const done = run(options, stop.signal)
  return {
    done,
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}

async function run(options: InboxOptions, stop: AbortSignal): Promise<void> {
  const binary = new BinaryDecoder()
  for await (const messages of options.inbox.receive(stop)) {
    let refused = false
    for (const run of runs(messages)) refused = !(await take(options, binary, run)) || refused
    if (refused) await sleep(options.clock, restMs, stop)
  }
}

/** Neighbours of one address: they are published together, in their order. */
function runs(messages: readonly InboxMessage[]): readonly (readonly InboxMessage[])[] {
  const found: InboxMessage[][] = []
  for (const message of messages) {
    const last = found.at(-1)
    if (last !== undefined && sameAddress(last[0]!.address, message.address)) last.push(message)
    else found.push([message])
  }
  return found
}

function sameAddress(a: Address, b: Address): boolean {
  return a.tenant === b.tenant && a.topic === b.topic && a.key === b.key
}

/** Publishes messages of one address; false where they have to wait. */
async function take(
  { publisher, log }: InboxOptions,
  binary: BinaryDecoder,
  messages: readonly InboxMessage[],
): Promise<boolean> {
  const { tenant, topic, key } = messages[0]!.address
  const address = publisher.address(tenant, key === undefined ? topic : `${topic}:${key}`)
  const refuse = (message: InboxMessage, why: string) => {
    log.warn({ tenant, topic, why }, "a message from NATS is set aside: it is no event")
    return message.settle(why)
  }
  if (address instanceof Refusal) {
    await Promise.all(messages.map((message) => refuse(message, address.detail)))
    return true
  }
  const events = messages.map((message) => eventOf(publisher, binary, address, message))
  const good = events.filter((event) => event instanceof Event)
  const answer = good.length === 0 ? [] : await publisher.publish(address, good)
  const results = answer instanceof Refusal ? good.map(() => answer) : answer
  const rest = results.values()
  const waits: InboxMessage[] = []
  await Promise.all(
    messages.map((message, i) => {
      const event = events[i]!
      if (typeof event === "string") return refuse(message, event)
      const result = rest.next().value!
      if (!(result instanceof Refusal)) return message.settle()
      if (!passing.has(result.code)) return refuse(message, result.detail)
      waits.push(message)
      return message.giveBack()
    }),
  )
  return waits.length === 0
}

/** The message as an event, or why it is none. */
function eventOf(
  publisher: Publisher,
  binary: BinaryDecoder,
  address: Address,
  { content }: InboxMessage,
): Event | string {
  if (content instanceof Event) return content
  if (content.faults !== undefined) return content.faults.join("; ")
  const type = content.contentType === undefined ? undefined : parseMediaType(content.contentType)
  if (type !== undefined && !type.valid) return `its Content-Type is no media type: ${content.contentType}`
  const body = Buffer.from(content.data.buffer, content.data.byteOffset, content.data.byteLength)
  const kind = binary.kindOf(type, body)
  return typeof kind === "string" ? publisher.wrap(address, type, body, kind) : `its ${kind.field} ${kind.message}`
}
