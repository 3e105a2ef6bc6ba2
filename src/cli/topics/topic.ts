import type { Command } from "commander"
import { type Context, durationText, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { ago, printDone } from "../output.ts"
import { plural } from "../progress.ts"
import {
  type ApiResource,
  addCommonCommands,
  type BodyOptions,
  bodyOf,
  changeRequest,
  patch,
  type ResourceKind,
  withBody,
} from "../resource.ts"
import { addPrune } from "./prune.ts"
import { present, type RetentionOptions, retentionOf, withRetention } from "./retention-flags.ts"

interface TopicOptions extends BodyOptions, RetentionOptions {
  readonly dedupeWindow?: string
  readonly wrapSource?: string
  readonly wrapType?: string
}

interface ApiTopic extends ApiResource {
  readonly retention?: {
    readonly ageMax?: string
    readonly eventsMax?: number
    readonly bytesMax?: number
    readonly rules?: readonly unknown[]
  }
  readonly dedupeWindow?: string
}

const kind: ResourceKind<ApiTopic> = {
  name: "topic",
  path: "/v1/topics",
  columns: [
    { title: "id", value: ({ id }) => id },
    { title: "retention", value: retentionText },
    { title: "dedupe", value: ({ dedupeWindow }) => dedupeWindow ?? "-" },
    { title: "age", value: ({ createdAt }) => ago(createdAt, Date.now()), align: "right" },
    { title: "description", value: ({ description }) => description ?? "" },
  ],
  empty: "No topics yet. The first publish makes one: redcar publish orders '{\"id\": 1}' --type order.created",
  readOnly: ["stats"],
  deleting: "Its events are dropped; triggers must not name it.",
}

export function configure(command: Command, context: Context): void {
  command.description("Topics: named logs of events. The first publish to a topic makes it.")
  addCommonCommands(command, kind, context)
  const create = subcommand(command, "create [id]", "Make a topic. Its id is said here, or in the file.")
  withTopic(withBody(create, kind, "create")).action(async (id: string | undefined, options: TopicOptions) => {
    const body = await bodyOf(context, kind, options, { ...fieldsOf(options), id }, "create")
    if (body.id === undefined) throw new UsageError("which topic?", ["Name it: redcar topic create <id>"])
    const made = await context.hub(options).json<ApiTopic>("POST", kind.path, { ...changeRequest(options), json: body })
    const line = options.dryRun ? `topic ${made.id} would be made` : `made topic ${made.id}`
    await printDone(context, options, made, line)
  })
  examples(withHub(create), [
    ["redcar topic create orders", "Keeps its events for ever"],
    ["redcar topic create metrics --retention-age 7d --retention-bytes 1GiB", "Keeps a week, and at most 1 GiB"],
    [
      `redcar topic create app --retention-rules '[{"filters": [{"exact": {"type": "debug"}}], "ageMax": "1d"}]'`,
      "Keeps debug events for a day, all others for ever",
    ],
    ["redcar topic create raw --wrap-source /sensors --wrap-type sensor.reading", "Says what raw input becomes"],
  ])
  const update = subcommand(command, "update <id>", "Change a topic; what is not said stays.")
  withTopic(withBody(update, kind, "update")).action(async (id: string, options: TopicOptions) => {
    const changed = await patch(
      context,
      options,
      kind,
      id,
      await bodyOf(context, kind, options, fieldsOf(options), "update"),
    )
    await printDone(context, options, changed, options.dryRun ? `topic ${id} would be changed` : `changed topic ${id}`)
  })
  examples(withHub(update), [
    ["redcar topic update orders --retention-age 90d", "Keep 90 days from now on"],
    ["redcar topic update orders --label team=payments --label old=", "Set one label, remove another"],
  ])
  addPrune(command, context)
}

function withTopic(command: Command): Command {
  return withRetention(command)
    .option(
      "--dedupe-window <duration>",
      "how long a repeated source + id is recognised, if retention keeps the event so long",
      durationText,
    )
    .option("--wrap-source <uri>", "the source of events made from raw input")
    .option("--wrap-type <type>", "the type of events made from raw input")
}

function fieldsOf(options: TopicOptions): Readonly<Record<string, unknown>> {
  return {
    retention: retentionOf(options),
    dedupeWindow: options.dedupeWindow,
    wrap: present({ source: options.wrapSource, type: options.wrapType }),
  }
}

function retentionText({ retention }: ApiTopic): string {
  const parts = [
    retention?.ageMax,
    retention?.eventsMax === undefined ? undefined : `${retention.eventsMax} events`,
    retention?.bytesMax === undefined ? undefined : `${retention.bytesMax} bytes`,
    retention?.rules === undefined ? undefined : plural(retention.rules.length, "rule"),
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? "for ever" : parts.join(", ")
}
