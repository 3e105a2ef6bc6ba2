import type { Clock } from "../../core/clock.ts"
import type { Outcome } from "../../core/delivery.ts"
import type { Dispatch, Sender, SenderContext } from "../../core/destination.ts"
import { createSigner } from "../signing.ts"
import { timeoutDefaultMs, type WebhookConfig } from "./config.ts"
import type { Connect } from "./connect.ts"
import { Connections } from "./connections.ts"
import { createEncode, type Encode } from "./encode.ts"
import { Flight, type FlightContext } from "./flight.ts"
import { createFrame, type Frame } from "./request.ts"

/** POSTs events to one URL over keep-alive connections, each event signed. */
export class WebhookSender implements Sender {
  readonly #encode: Encode
  readonly #frame: Frame
  readonly #context: FlightContext
  #closed = false

  constructor(config: WebhookConfig, context: SenderContext, connect: Connect, clock: Clock) {
    const keys = (config.signing ?? "v1") === "none" ? [] : context.signingKeys
    this.#encode = createEncode(config, createSigner(keys))
    this.#frame = createFrame(new URL(config.url))
    const timeoutMs = config.timeoutMs ?? timeoutDefaultMs
    const connections = new Connections({ connect, clock, timeoutMs })
    this.#context = { connections, clock, timeoutMs }
  }

  send(dispatch: Dispatch, signal: AbortSignal): Promise<Outcome> {
    if (this.#closed || signal.aborted) return Promise.resolve(notSent)
    const encoded = this.#encode(dispatch)
    if ("refused" in encoded) return Promise.resolve({ kind: "failed", detail: encoded.refused, permanent: true })
    const request = this.#frame(encoded)
    return new Promise((resolve) => {
      new Flight(this.#context, request, signal, resolve)
    })
  }

  /** Waits for what is being sent, which {@link WebhookConfig.timeoutMs} bounds; abort its signals to end it sooner. */
  close(): Promise<void> {
    this.#closed = true
    return this.#context.connections.close()
  }
}

const notSent: Outcome = { kind: "failed", detail: "stopped before it was sent", permanent: false }
