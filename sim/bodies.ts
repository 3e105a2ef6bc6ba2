import type { RetryPolicy } from "../src/core/delivery.ts"
import { misseds, twices } from "../src/core/schedules.ts"
import { formatDuration } from "../src/resources/durations.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { Fields, ResourceModel, ResourceName } from "./model.ts"
import { replyOf } from "./replies.ts"
import {
  clockTopic,
  type DestinationPlan,
  eventTypes,
  planBatch,
  planFilters,
  planOrdering,
  planRetry,
  queueLeaseMs,
  type SchedulePlan,
  sideTopics,
  subscriptionTopics,
  type TriggerPlan,
  topics,
} from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** What a topic is that nobody has made. */
export const selfMadeTopic: Fields = { labels: {}, retention: {}, dedupeWindow: "1m" }

/** A retry policy, as the API shows it. */
export function showRetry({ delaysMs, jitter, attemptsMax, ageMaxMs }: RetryPolicy): Fields {
  return { delays: delaysMs.map(formatDuration), jitter, attemptsMax, ageMax: formatDuration(ageMaxMs) }
}

export function endpointOf({ tenant, id }: { readonly tenant: string; readonly id: string }): string {
  return `${tenant}-${id}`
}

export function destinationBody(chance: SimulatedChance, plan: DestinationPlan): Fields {
  if (plan.isQueue) {
    const lease = plan.isForever ? "never" : `${queueLeaseMs / 1_000}s`
    return { labels: {}, kind: "queue", config: { lease }, concurrency: 1 }
  }
  const batch = planBatch(chance, plan)
  return {
    labels: {},
    kind: "simulated",
    config: {
      endpoint: endpointOf(plan),
      timeoutMs: 5_000,
      ...(plan.signed && { signed: true }),
      ...(batch && { batch }),
    },
    // One at a time cannot keep up with a slow disk.
    concurrency: chance.pick(plan.character === "steady" ? [8, 32] : [1, 4, 32]),
    ...(plan.character !== "steady" && chance.happens(0.2) ? { ratePerSecond: 5 } : {}),
  }
}

export function triggerBody({ id, topic, filters, destination, retry, ordering }: TriggerPlan): Fields {
  const more = { ...(ordering && { ordering }), ...replyOf(id) }
  return { labels: {}, topic, filters, destination, retry: showRetry(retry), ...more }
}

const labels = (chance: SimulatedChance): Fields => chance.pick([{}, { team: "a" }, { team: "b", tier: "1" }])

/** A whole body, whatever may be said of such a resource. */
export const bodies: Readonly<Record<ResourceName, (place: Workplace, model: ResourceModel) => Fields>> = {
  topic: (place, model) => ({ labels: labels(place.chance), ...topicMembers(place, model) }),
  trigger: ({ chance, scenario }, { tenant, id }) => ({
    labels: labels(chance),
    topic: chance.pick([...topics, ...sideTopics, `${topics[0]}:a`]),
    filters: planFilters(chance),
    destination: chance.pick(scenario.destinations.filter((plan) => plan.tenant === tenant)).id,
    backlog: chance.pick(["keep", "move"]),
    retry: showRetry(planRetry(chance)),
    ...planOrdering(chance),
    ...replyOf(id),
  }),
  destination: ({ chance, scenario }, { tenant, id }) => {
    const plan = scenario.destinations.find((plan) => plan.tenant === tenant && plan.id === id)!
    return { ...destinationBody(chance, plan), labels: labels(chance) }
  },
  subscription: ({ chance }, { id }) => ({
    labels: labels(chance),
    topic: subscriptionTopics[id],
    filters: planFilters(chance),
  }),
  schedule: ({ chance }, { id }) => ({
    labels: labels(chance),
    topic: `${clockTopic}:${chance.pick(["a", "b"])}`,
    event: { type: chance.pick(["tick", "tock"]) },
    ...(id === "side-cron"
      ? {
          cron: chance.pick(["* * * * * *", "*/7 * * * * *", "0 3 * * *"]),
          timeZone: chance.pick(["UTC", "Europe/Berlin"]),
        }
      : { interval: chance.pick(["1s", "4s", "1m"]) }),
    missed: chance.pick(misseds),
    twice: chance.pick(twices),
  }),
}

export function scheduleBody({ cron, everyMs, missed }: SchedulePlan): Fields {
  const timing = cron === undefined ? { interval: formatDuration(everyMs) } : { cron }
  return { labels: {}, topic: clockTopic, event: { type: "tick" }, ...timing, missed }
}

/** What the topics of triggers that stay keep is not to change. */
function topicMembers({ chance }: Workplace, { id }: ResourceModel): Fields {
  if (!(sideTopics as readonly string[]).includes(id)) return { retention: {}, dedupeWindow: "1m" }
  const retention = chance.pick<Fields>([
    {},
    { eventsMax: chance.between(1, 10) },
    { eventsMax: chance.between(1, 10) },
    { bytesMax: chance.between(1, 20_000) },
    { ageMax: chance.pick(["2s", "5s", "20s", "3m"]) },
    { ageMax: "10m", eventsMax: 20 },
    { rules: rulesOf(chance) },
    { rules: rulesOf(chance) },
    { eventsMax: 20, rules: rulesOf(chance) },
  ])
  const owed = chance.pick<Fields>([{}, {}, { dropUndelivered: true }, { keepDeadLetters: true }])
  return { retention: { ...retention, ...owed }, dedupeWindow: chance.pick(["1m", "1m", "5s"]) }
}

/** Limits of some events of a topic. */
function rulesOf(chance: Workplace["chance"]): readonly Fields[] {
  return Array.from({ length: chance.between(1, 2) }, () => ({
    filters: [chance.pick<Fields>([{ exact: { type: chance.pick(eventTypes) } }, { prefix: { type: "order." } }])],
    ...chance.pick<Fields>([
      { eventsMax: chance.between(1, 5) },
      { ageMax: chance.pick(["2s", "20s"]) },
      { ageMax: "3m", bytesMax: chance.between(1, 5_000) },
    ]),
  }))
}

/** Some members of a body, for a merge patch. */
export function patchOf({ chance }: Workplace, body: Fields): Fields {
  const names = Object.keys(body).filter((name) => name !== "kind" && name !== "config")
  const some = names.filter(() => chance.happens(0.4))
  return Object.fromEntries((some.length > 0 ? some : names.slice(0, 1)).map((name) => [name, body[name]]))
}

/** A resource after a merge patch of these members, none of which removes anything. */
export function patched(fields: Fields, patch: Fields): Fields {
  return Object.fromEntries(
    Object.entries({ ...fields, ...patch }).map(([name, value]) => [name, merged(fields[name], value, name in patch)]),
  )
}

/** RFC 7396: objects are merged, all else is replaced. */
function merged(before: unknown, value: unknown, isPatched: boolean): unknown {
  if (!isPatched || !isObject(before) || !isObject(value)) return value
  return {
    ...before,
    ...Object.fromEntries(Object.entries(value).map(([name, each]) => [name, merged(before[name], each, true)])),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
