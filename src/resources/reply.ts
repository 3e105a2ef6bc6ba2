import Type, { type Static } from "typebox"
import { isReservedTopic, parseTopic } from "../core/address.ts"
import { topicKeys } from "../core/catalog-keys.ts"
import type { RetryPolicy } from "../core/delivery.ts"
import type { Reply, Topic, Trigger } from "../core/resources.ts"
import { checkAgainstRetention } from "../deliver/policies.ts"
import type { ResourceContext } from "./context.ts"
import { formatDuration } from "./durations.ts"
import { type Along, nothingAlong } from "./needs.ts"
import type { Draft } from "./resource-type.ts"
import { component, strict } from "./schemas.ts"
import { needTopic, topicFault } from "./topics.ts"

/** The `reply` of a trigger. */
export const ReplySchema = component(
  "Reply",
  strict(
    {
      topic: Type.String({
        description: "A topic, without a key: the key of what is published is its delivery's id.",
        examples: ["invoices"],
      }),
    },
    {
      description:
        "Where the events go that the destination answers with: a 2xx of a webhook that is a CloudEvent (binary or structured mode), " +
        "or a batch of them. They are published once for each delivery, with `causationid`, before it is done. Absent: answers are " +
        "answers and no more.",
    },
  ),
)

/** The reply topic that a trigger is to have; `faults` are told what is wrong with it. */
export async function readReply(
  context: ResourceContext,
  reply: Static<typeof ReplySchema> | undefined,
  retry: RetryPolicy,
  { tenant, faults }: Draft<Trigger>,
): Promise<Reply | undefined> {
  if (reply === undefined || !faults.clean("reply")) return undefined
  const { topic } = reply
  const fault = nameFault(topic) ?? (await topicFault(context, tenant, topic))
  if (fault !== undefined) {
    faults.add("reply.topic", fault)
    return { topic }
  }
  const item = await context.engine.catalog.get<Topic>(topicKeys.of({ tenant, id: topic }))
  const retention = item?.value.retention ?? {}
  if (checkAgainstRetention(retry, retention).length > 0) {
    const [kept, tried] = [retention.ageMaxMs!, retry.ageMaxMs].map(formatDuration)
    faults.add(
      "reply.topic",
      `keeps events for ${kept} only, and deliveries are tried for ${tried}: one that is gone could be published once more`,
    )
  }
  return { topic }
}

function nameFault(topic: string): string | undefined {
  const parsed = parseTopic(topic)
  if (typeof parsed === "string") return parsed
  if (isReservedTopic(parsed.topic)) return `${parsed.topic} is written by the hub itself; name another topic`
  if (parsed.key !== undefined) return "must have no key: the key of what is published is its delivery's id"
  return undefined
}

/** What makes that the reply topic is there when the trigger is stored. */
export async function needReply(context: ResourceContext, { tenant, topic, reply }: Trigger): Promise<Along> {
  const parsed = parseTopic(topic)
  const isOwn = typeof parsed !== "string" && parsed.topic === reply?.topic
  return reply === undefined || isOwn ? nothingAlong : needTopic(context, { tenant, topic: reply.topic })
}
