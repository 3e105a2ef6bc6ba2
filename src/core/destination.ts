import type { Address } from "./address.ts"
import type { Delivery, Failed, Outcome, ReplyRecord } from "./delivery.ts"
import type { Event } from "./event.ts"
import type { Identity, IdentityOf, IdentityToken } from "./identity.ts"
import type { StoredEvent } from "./log.ts"
import type { Agreement, Destination, SigningKey } from "./resources.ts"

/** One attempt to be made. */
export interface Dispatch {
  readonly stored: StoredEvent
  readonly delivery: Delivery
  /** From 1. */
  readonly attempt: number
  /** Unix milliseconds of this attempt. */
  readonly at: number
  /** Takes the events that it is answered with; absent: nobody wants them. */
  readonly reply?: ReplyTaker | undefined
}

/** Who takes the events that an attempt is answered with. */
export interface ReplyTaker {
  /** Of an answer that holds events. */
  readonly bytesMax: number
  readonly eventsMax: number
  /**
   * Publishes them, unless an earlier answer of the same delivery is published already. What becomes of them is durable when it
   * resolves; a failure: they may be taken another time, and the attempt has failed.
   */
  take(events: readonly Event[]): Promise<ReplyRecord | Failed>
}

/** Attempts that are made in one request. */
export interface Batch {
  /** The delivery's, where there is one. */
  readonly id: string
  readonly dispatches: readonly Dispatch[]
}

/** What came of a batch. */
export interface BatchSent {
  /** Of the request. */
  readonly answer: Outcome
  /** Of each attempt, in their order; absent: the answer is that of all. */
  readonly each?: readonly Outcome[]
}

/** How much goes in one request, and how long the first may wait for the others. */
export interface BatchLimits {
  readonly eventsMax: number
  /** Of the events as JSON; one that is larger goes alone. */
  readonly bytesMax: number
  readonly waitMs: number
}

/** How events leave the hub: one per destination, kept open between deliveries. */
export interface Sender {
  /** Never throws for what a destination does; ends soon after `signal` aborts. */
  send(dispatch: Dispatch, signal: AbortSignal): Promise<Outcome>
  /** As {@link Sender.send}, of several; there where its kind says limits ({@link DestinationKind.batching}). */
  readonly sendBatch?: ((batch: Batch, signal: AbortSignal) => Promise<BatchSent>) | undefined
  /** What the receiver lets through, where it says so itself; may be another after each send. */
  readonly ratePerSecond?: number | undefined
  close(): Promise<void>
}

/** What a kind may use of the hub. */
export interface SenderContext {
  readonly tenant: string
  readonly signingKeys: readonly SigningKey[]
  /** The destination's own limit; absent: it has none. */
  readonly ratePerSecond?: number | undefined
  /**
   * Publishes into the hub; durable when it resolves. An event that is there already is not stored again. Throws
   * PublishRefusedError, OverloadError, StorageFullError, StorageError, ClosedError.
   */
  publish(address: Address, event: Event): Promise<void>
  /**
   * A token by which a receiver of this audience knows that the hub sends, and for which destination; as Identity.issue. Absent:
   * the hub signs none.
   */
  identify?: ((audience: string) => Promise<IdentityToken>) | undefined
  /** What the receiver has agreed to by calling back. */
  readonly agreement?: Agreement | undefined
  /**
   * A URL by which the receiver may agree later to what it is asked; throws what the catalog throws. Absent: nobody could call the
   * hub.
   */
  callback?: ((asked: Asked) => Promise<string>) | undefined
}

/** What a receiver is asked before it is sent anything. */
export interface Asked {
  /** Another text where it would be asked something else. */
  readonly what: string
  /** Deliveries a minute; absent: it is not asked how many. */
  readonly perMinute?: number | undefined
}

/** Gives out URLs by which receivers may agree later. */
export interface Callbacks {
  /** `asked`: as `Asked.what`. */
  url(of: IdentityOf, asked: string): Promise<string>
}

/** What senders of all destinations use of the hub. */
export interface SenderTools extends Pick<SenderContext, "publish"> {
  readonly identity?: Identity | undefined
  readonly callbacks?: Callbacks | undefined
}

/** What the sender of one destination may use. */
export function senderContext(destination: Destination, { publish, identity, callbacks }: SenderTools): SenderContext {
  const { tenant, id, signingKeys, ratePerSecond, agreement } = destination
  const of = { tenant, destination: id }
  return {
    ...{ tenant, signingKeys, ratePerSecond, publish, agreement },
    ...(identity && { identify: (audience) => identity.issue(of, audience) }),
    ...(callbacks && { callback: ({ what }) => callbacks.url(of, what) }),
  }
}

/** An origin that a field (`url`) of a configuration names; undefined where it names none. */
export interface SentTo {
  readonly field: string
  readonly origin: string | undefined
}

/** A JSON Schema (2020-12) that declares a kind's configuration; TypeBox's schemas are such. */
export type ConfigSchema = object

/** One way for events to leave: `webhook`, `topic`, … */
export interface DestinationKind<Config = unknown> {
  readonly kind: string
  readonly description: string
  /**
   * Declared once; feeds validation, OpenAPI, the CLI's help and redaction. A property marked `writeOnly` is a secret:
   * it is never returned.
   */
  readonly config: ConfigSchema
  /** Nothing is sent there: workers lease what it is owed. */
  readonly isPulled?: boolean
  /** What the schema cannot say; each fault names its field (`url`), none means valid. */
  check(config: Config): readonly { readonly field: string; readonly message: string }[]
  /**
   * Where the secret at this path of a configuration is sent, or what is got by it: which field says so, and the origin (scheme,
   * host, port) that it says. Absent, or none: nowhere. A stored secret is not kept for another origin.
   */
  sentTo?(config: Config, path: readonly string[]): readonly SentTo[]
  /** The signing scheme that this configuration asks for; undefined where nothing is signed. */
  signing(config: Config): SigningKey["scheme"] | undefined
  /** Whether this configuration takes batches; absent, or undefined: events one by one. */
  batching?(config: Config): BatchLimits | undefined
  /** What the receiver is asked first; absent, or undefined: nothing. */
  asks?(config: Config, ratePerSecond: number | undefined): Asked | undefined
  open(config: Config, context: SenderContext): Promise<Sender>
}
