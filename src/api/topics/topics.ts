import Type from "typebox"
import type { Topic } from "../../core/resources.ts"
import { component, Duration, LabelsInput, Timestamp } from "../../resources/schemas.ts"
import { RetentionInput, topicFields, WrapInput } from "../../resources/topics.ts"
import { Needs } from "../../retention/needed.ts"
import { overdueOf } from "../../retention/prune.ts"
import type { ApiContext } from "../context.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"
import { HeldSchema, showHeld } from "./prune.ts"

const TopicStats = Type.Object({
  events: Type.Integer(),
  bytes: Type.Integer(),
  oldestAt: Type.Optional(Timestamp),
  newestAt: Type.Optional(Timestamp),
  held: Type.Optional(HeldSchema),
})

const TopicOutput = component(
  "Topic",
  Type.Object(
    {
      ...topicFields,
      labels: LabelsInput,
      retention: RetentionInput,
      dedupeWindow: Duration,
      wrap: WrapInput,
      ...resourceFields,
      stats: Type.Optional(TopicStats),
    },
    { description: "A named log. `stats` is there where one topic is read." },
  ),
)

/** What is shown of topics beyond what they are. */
export function topicView({ engine, clock }: Pick<ApiContext, "engine" | "clock">): ResourceView<Topic> {
  return {
    tag: "Topics",
    output: TopicOutput,
    async detail(topic) {
      const stats = await engine.log.stats({ tenant: topic.tenant, topic: topic.id })
      const { events, bytes, oldestAt, newestAt } = stats
      const times = { ...(oldestAt !== undefined && { oldestAt }), ...(newestAt !== undefined && { newestAt }) }
      const { retention } = topic
      const { rules, ...limits } = retention
      const isLimited = Object.keys(limits).length > 0
      const held = isLimited && showHeld(await overdueOf(engine, topic, retention, new Needs(engine, clock)))
      return {
        stats: { events, bytes, ...mapValues(times, (at) => new Date(at).toISOString()), ...(held && { held }) },
      }
    },
  }
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, to: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, to(value)]))
}
