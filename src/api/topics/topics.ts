import Type from "typebox"
import type { Topic } from "../../core/resources.ts"
import { component, Duration, LabelsInput, Timestamp } from "../../resources/schemas.ts"
import { RetentionInput, topicFields, WrapInput } from "../../resources/topics.ts"
import type { ApiContext } from "../context.ts"
import type { ResourceView } from "../resource-views.ts"
import { resourceFields } from "../schemas.ts"

const TopicStats = Type.Object({
  events: Type.Integer(),
  bytes: Type.Integer(),
  oldestAt: Type.Optional(Timestamp),
  newestAt: Type.Optional(Timestamp),
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
export function topicView({ engine }: Pick<ApiContext, "engine">): ResourceView<Topic> {
  return {
    tag: "Topics",
    output: TopicOutput,
    async detail(topic) {
      const stats = await engine.log.stats({ tenant: topic.tenant, topic: topic.id })
      const { events, bytes, oldestAt, newestAt } = stats
      const times = { ...(oldestAt !== undefined && { oldestAt }), ...(newestAt !== undefined && { newestAt }) }
      return { stats: { events, bytes, ...mapValues(times, (at) => new Date(at).toISOString()) } }
    },
  }
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, to: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, to(value)]))
}
