import type { Delivery, Outcome } from "../core/delivery.ts"
import {
  type Batch,
  type BatchLimits,
  type BatchSent,
  type DestinationKind,
  type Dispatch,
  type Sender,
  type SenderTools,
  senderContext,
} from "../core/destination.ts"
import type { Logger } from "../core/logger.ts"
import type { Destination } from "../core/resources.ts"
import { openDestination, type Secrets } from "../core/secrets.ts"
import { type Sign, signOf } from "./breaker.ts"

/** What senders are opened with. */
export interface SenderSlotContext extends SenderTools {
  readonly kinds: ReadonlyMap<string, DestinationKind>
  readonly secrets: Secrets
  readonly log: Logger
}

/** What came of a request, and what that tells of the destination. */
export interface Sent extends BatchSent {
  readonly sign: Sign
}

/** An open sender and who uses it; closed when it is retired and nobody does any more. */
interface Opened {
  readonly sender: Sender
  users: number
  retired: boolean
}

/** The way out to one destination: its sender, opened when it is first needed and opened anew when it has changed. */
export class SenderSlot {
  readonly #context: SenderSlotContext
  #destination: Destination | undefined
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined
  readonly #closing = new Set<Promise<void>>()
  #version = 0

  constructor(destination: Destination | undefined, context: SenderSlotContext) {
    this.#destination = destination
    this.#context = context
  }

  /** Counts the changes after which it is another destination that is sent to. */
  get version(): number {
    return this.#version
  }

  /** Deliveries a second at most: what the destination is to have, or less where its receiver has said so. */
  get ratePerSecond(): number | undefined {
    const { ratePerSecond: own, agreement } = this.#destination ?? {}
    // What was agreed to by a callback is known before there is a sender.
    const agreed = this.#opened?.sender.ratePerSecond ?? (agreement?.perMinute && agreement.perMinute / 60)
    return own === undefined || agreed === undefined ? (own ?? agreed) : Math.min(own, agreed)
  }

  /** Undefined: it takes events one by one. */
  get batching(): BatchLimits | undefined {
    if (this.#destination === undefined) return undefined
    const { kind, config } = this.#destination
    return this.#context.kinds.get(kind)?.batching?.(config)
  }

  /** From the next send on. What is being sent ends on the sender that it began with. */
  change(destination: Destination | undefined): void {
    const before = this.#destination
    this.#destination = destination
    if (before !== undefined && destination !== undefined && waysOf(before) === waysOf(destination)) return
    this.#version++
    this.retire()
  }

  /** Never throws: a sender that does has made a failed attempt. */
  async send(batch: Batch, signal: AbortSignal): Promise<Sent> {
    const [{ delivery }] = batch.dispatches as [Dispatch]
    if (this.#destination === undefined) return missing(`there is no destination ${delivery.destination}`)
    let opened: Opened
    try {
      opened = this.#opened ?? (await this.#open(this.#destination))
    } catch (error) {
      return unopened(error)
    }
    opened.users++
    try {
      const sent = await sendBy(opened.sender, batch, signal)
      return { ...sent, sign: signOf(sent.answer) }
    } catch (error) {
      return this.#thrown(delivery, error)
    } finally {
      opened.users--
      if (opened.retired) this.#closeUnused(opened)
    }
  }

  /** Lets go of the sender; the next send opens another. */
  retire(): void {
    const opening = this.#opening
    this.#opening = undefined
    this.#opened = undefined
    opening?.then(
      (opened) => {
        opened.retired = true
        this.#closeUnused(opened)
      },
      () => {},
    )
  }

  /** Resolves when every sender that is no longer used is closed. */
  async close(): Promise<void> {
    this.retire()
    await undefined
    await Promise.all(this.#closing)
  }

  #open(destination: Destination): Promise<Opened> {
    if (this.#opening) return this.#opening
    const opening = this.#openSender(destination)
    this.#opening = opening
    opening.then(
      (opened) => {
        if (this.#opening === opening) this.#opened = opened
      },
      () => {
        if (this.#opening === opening) this.#opening = undefined
      },
    )
    return opening
  }

  async #openSender(stored: Destination): Promise<Opened> {
    const { kinds, secrets } = this.#context
    const destination = openDestination(secrets, stored)
    const kind = kinds.get(destination.kind)
    if (!kind) throw new Error(`this hub has no destination kind ${destination.kind}`)
    const sender = await kind.open(destination.config, senderContext(destination, this.#context))
    return { sender, users: 0, retired: false }
  }

  #closeUnused(opened: Opened): void {
    if (opened.users > 0) return
    const closing = opened.sender
      .close()
      .catch((error: unknown) => this.#context.log.warn({ err: error }, "a sender could not be closed"))
      .finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  #thrown(delivery: Delivery, error: unknown): Sent {
    this.#context.log.error({ err: error, delivery: delivery.id }, "a sender threw: this is a bug of its kind")
    const detail = `the sender failed: ${messageOf(error)}`
    return { answer: { kind: "failed", detail, permanent: false }, sign: "unclear" }
  }
}

/** Equal for destinations that one sender can serve. */
function waysOf({ kind, config, signingKeys, sealed, agreement }: Destination): string {
  return JSON.stringify([kind, config, signingKeys, sealed, agreement])
}

/** One that does not exist is as gone as one that says so. */
function missing(detail: string): Sent {
  return { answer: { kind: "failed", detail, permanent: true, gone: true }, sign: "unclear" }
}

/** Whoever cannot be opened is as good as down: it is tried again without using up everybody's attempts. */
function unopened(error: unknown): Sent {
  const detail = `the destination could not be opened: ${messageOf(error)}`
  return { answer: { kind: "failed", detail, permanent: false }, sign: "down" }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function sendBy(sender: Sender, batch: Batch, signal: AbortSignal): Promise<BatchSent> {
  if (sender.sendBatch !== undefined) return sender.sendBatch(batch, signal)
  return { answer: await sender.send(batch.dispatches[0]!, signal) }
}

/** What a request came to whose destination was changed meanwhile: what it says of that holds for what was, and no more. */
export function ofAnother({ answer, each }: Sent): Sent {
  return { answer: changed(answer), ...(each && { each: each.map(changed) }), sign: "unclear" }
}

function changed(outcome: Outcome): Outcome {
  if (outcome.kind === "delivered") return outcome
  const { response } = outcome
  const detail = `${outcome.detail} (the destination was changed meanwhile)`
  return { kind: "failed", detail, permanent: false, ...(response && { response }) }
}
