import { lookup } from "node:dns/promises"
import type { Clock } from "../../core/clock.ts"
import type { DestinationKind } from "../../core/destination.ts"
import {
  checkWebhookConfig,
  connectTimeoutDefaultMs,
  timeoutDefaultMs,
  type WebhookConfig,
  webhookConfig,
} from "./config.ts"
import { createConnect, type Resolve } from "./connect.ts"
import { createAddressGuard, type GuardSettings } from "./guard.ts"
import { WebhookSender } from "./sender.ts"

export interface WebhookOptions {
  readonly clock: Clock
  readonly guard: GuardSettings
  /** Default: the system's resolver. */
  readonly resolve?: Resolve
}

/** POSTs events over HTTP in CloudEvents' binary or structured mode, signed as Standard Webhooks says. */
export function webhookKind(options: WebhookOptions): DestinationKind<WebhookConfig> {
  const guard = createAddressGuard(options.guard)
  const resolve = options.resolve ?? ((hostname) => lookup(hostname, { all: true }))
  return {
    kind: "webhook",
    description: "POSTs events to a URL as CloudEvents over HTTP, signed by Standard Webhooks.",
    config: webhookConfig,
    check: (config) => checkWebhookConfig(config, guard),
    signing: (config) => (config.signing === "none" ? undefined : (config.signing ?? "v1")),
    async open(config, context) {
      const timeoutMs = config.timeoutMs ?? timeoutDefaultMs
      const connectTimeoutMs = Math.min(config.connectTimeoutMs ?? connectTimeoutDefaultMs, timeoutMs)
      const connect = createConnect({
        url: new URL(config.url),
        connectTimeoutMs,
        guard,
        resolve,
        clock: options.clock,
      })
      return new WebhookSender(config, context, connect, options.clock)
    },
  }
}
