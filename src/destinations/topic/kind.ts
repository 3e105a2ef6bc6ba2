import Type, { type Static } from "typebox"
import { type Address, formatTopic, isReservedTopic, parseTopic } from "../../core/address.ts"
import type { Failed, Outcome } from "../../core/delivery.ts"
import type { DestinationKind, Dispatch, Sender, SenderContext } from "../../core/destination.ts"
import { editAttribute } from "../../core/edits.ts"
import { ClosedError, OverloadError, PublishRefusedError, StorageError, StorageFullError } from "../../core/errors.ts"
import { Event } from "../../core/event.ts"
import { hopsAttribute, hopsMax, hopsOf } from "../../core/hops.ts"

const topicConfig = Type.Object(
  {
    topic: Type.String({
      minLength: 1,
      maxLength: 200,
      description: "The topic that events are forwarded to, with a key or without: orders, orders:123.",
    }),
  },
  { additionalProperties: false },
)

export type TopicConfig = Static<typeof topicConfig>

/**
 * Forwards events into another topic of the same tenant, unchanged but for `id` (the delivery's, so that a repeated
 * delivery is stored once), `causationid` (the id before), `correlationid` where there is none (the id before: the flow
 * begins there) and the count of hops.
 */
export const topicKind: DestinationKind<TopicConfig> = {
  kind: "topic",
  description: `Forwards events into another topic, under a new id and with causationid set; ${hopsMax} times at most.`,
  config: topicConfig,
  check(config) {
    const message = faultOf(config)
    return message === undefined ? [] : [{ field: "topic", message }]
  },
  signing: () => undefined,
  async open(config, context) {
    const target = parseTopic(config.topic)
    if (typeof target === "string") throw new RangeError(target)
    return topicSender({ tenant: context.tenant, ...target }, context)
  },
}

function faultOf(config: TopicConfig): string | undefined {
  const target = parseTopic(config.topic)
  if (typeof target === "string") return target
  return isReservedTopic(target.topic)
    ? `${target.topic} is written by the hub itself; forward to another topic`
    : undefined
}

function topicSender(address: Address, context: SenderContext): Sender {
  const detail = `published to ${formatTopic(address)}`
  return {
    async send(dispatch, signal): Promise<Outcome> {
      const { event } = dispatch.stored
      const hops = hopsOf(event)
      if (hops >= hopsMax)
        return failed(`was forwarded ${hops} times, ${hopsMax} are the most: do triggers forward in a circle?`, true)
      if (signal.aborted) return failed("stopped before it was published", false)
      try {
        await context.publish(address, forwarded(event, dispatch, hops + 1))
      } catch (error) {
        return refusal(error)
      }
      return { kind: "delivered", detail }
    },
    async close() {},
  }
}

function forwarded(event: Event, dispatch: Dispatch, hops: number): Event {
  const flow = { causationid: event.id, correlationid: event.attribute("correlationid") ?? event.id }
  const { [editAttribute]: _, ...own } = event.attributes
  const attributes = { ...own, id: dispatch.delivery.id, ...flow, [hopsAttribute]: hops }
  return Event.of(attributes, event.data, event.dataKind)
}

/** What the hub says to an event it does not take is an outcome; anything else is a bug. */
function refusal(error: unknown): Outcome {
  if (!refusals.some((refusing) => error instanceof refusing)) throw error
  const { message, retryAfterMs } = error as Error & { retryAfterMs?: number | undefined }
  return { ...failed(message, false), ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

const refusals = [PublishRefusedError, OverloadError, StorageFullError, StorageError, ClosedError]

function failed(detail: string, permanent: boolean): Failed {
  return { kind: "failed", detail, permanent }
}
