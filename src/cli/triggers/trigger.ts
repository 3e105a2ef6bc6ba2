import { type Command, Option } from "commander"
import { type ApiWarning, warn } from "../clauses.ts"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { type ApiLaneStatus, breakerText } from "../destinations/lane-status.ts"
import { type FilterOptions, filtersOf, saysNone, withFilters } from "../filter-flags.ts"
import { type Hub, nearTopic } from "../hub.ts"
import { asTyped } from "../invocation.ts"
import { ago, printDone } from "../output.ts"
import { type Place, place, placeHelp, startOf, withStart } from "../places.ts"
import { plural } from "../progress.ts"
import {
  type ApiResource,
  addCommonCommands,
  type BodyOptions,
  bodyOf,
  changeRequest,
  patch,
  pathOf,
  type ResourceKind,
  withBody,
} from "../resource.ts"
import { addDryRun } from "./dry-run.ts"
import { addExplain, addMatch } from "./explain.ts"
import { orderingOf, type PolicyOptions, replyOf, retryOf, withPolicy } from "./trigger-policy.ts"

interface TriggerOptions extends BodyOptions, FilterOptions, PolicyOptions {
  readonly topic?: string
  readonly destination?: string
  readonly backlog?: string
  readonly start?: Place
  readonly paused?: boolean
}

interface ApiTrigger extends ApiResource {
  readonly topic: string
  readonly destination: string
  readonly backlog?: string
  readonly filters?: readonly unknown[]
  readonly status: { readonly state: string; readonly reason?: string; readonly destination?: ApiLaneStatus }
  readonly warnings?: readonly ApiWarning[]
}

const kind: ResourceKind<ApiTrigger> = {
  name: "trigger",
  path: "/v1/triggers",
  columns: [
    { title: "id", value: ({ id }) => id },
    { title: "topic", value: ({ topic }) => topic },
    { title: "destination", value: ({ destination }) => destination },
    { title: "state", value: ({ status }) => [status.state, ...(status.reason ? [status.reason] : [])].join(": ") },
    {
      title: "breaker",
      value: ({ status }) => (status.destination ? breakerText(status.destination, Date.now()) : "-"),
    },
    { title: "age", value: ({ createdAt }) => ago(createdAt, Date.now()), align: "right" },
    { title: "filters", value: ({ filters }) => (filters?.length ? JSON.stringify(filters) : "every event") },
  ],
  empty: "No triggers yet. Make one: redcar trigger create --topic orders --destination <destination>",
  readOnly: ["pausedSince", "pauseReason", "warnings"],
  deleting: "Its deliveries that are not done yet are dropped.",
  losing: async (hub, id) => {
    const { count, more } = await openOf(hub, id)
    if (count === 0) return undefined
    return `${more ? "at least " : ""}${plural(count, "delivery that is not done yet", "deliveries that are not done yet")}`
  },
}

export function configure(command: Command, context: Context): void {
  command.description("Triggers: which events of a topic go to which destination.")
  addCommonCommands(command, kind, context)
  addCreate(command, context)
  addUpdate(command, context)
  addPauseAndResume(command, context)
  addExplain(command, context)
  addMatch(command, context)
  addDryRun(command, context)
}

function addCreate(command: Command, context: Context): void {
  const create = subcommand(command, "create [id]", "Make a trigger. Without an id the hub makes one up.")
  withTrigger(withBody(create, kind, "create"))
    .option("--start <place>", `where to begin: ${placeHelp} (default: newest)`, place)
    .option("--paused", "make it paused")
    .action(async (id: string | undefined, options: TriggerOptions) => {
      const wanted = fieldsOf(options)
      const [ordering, reply] = [wanted.ordering ?? undefined, wanted.reply ?? undefined]
      const fields = { id, ...wanted, ordering, reply, start: startOf(options.start), paused: options.paused }
      const body = withStart(await bodyOf(context, kind, options, fields, "create"))
      const hub = context.hub(options)
      const slip = typeof body.topic === "string" ? await nearTopic(hub, body.topic, options.dryRun) : undefined
      const made = await hub.json<ApiTrigger>("POST", kind.path, { ...changeRequest(options), json: body })
      const line = `trigger ${made.id}: ${made.topic} → ${made.destination}`
      await printDone(context, options, made, options.dryRun ? `would make ${line}` : `made ${line}`)
      if (slip !== undefined) context.terminal.err(slip)
      warn(context.terminal, made.warnings)
    })
  examples(withHub(withFilters(create)), [
    ["redcar trigger create --topic orders --destination shop", "Every event of a topic"],
    ["redcar trigger create paid --topic orders --destination shop --exact type=order.paid", "Only one type of event"],
    [
      "redcar trigger create large --topic orders --destination shop --sql 'data.total > 100'",
      "By what is in the data; redcar help filter has all languages",
    ],
    [
      "redcar trigger create ship --topic orders --destination shop --order-by data.customer.id",
      "One at a time for each customer, in order",
    ],
    [
      "redcar trigger create again --topic orders:123 --destination shop --start oldest --retry relay",
      "One key, from its beginning",
    ],
  ])
}

function addUpdate(command: Command, context: Context): void {
  const update = subcommand(command, "update <id>", "Change a trigger; what is not said stays.")
  withTrigger(withBody(update, kind, "update")).action(async (id: string, options: TriggerOptions) => {
    const changed = await patch<ApiTrigger>(
      context,
      options,
      kind,
      id,
      await bodyOf(context, kind, options, fieldsOf(options), "update"),
    )
    await printDone(
      context,
      options,
      changed,
      options.dryRun ? `trigger ${id} would be changed` : `changed trigger ${id}`,
    )
    warn(context.terminal, changed.warnings)
    if ((options.destination ?? options.backlog ?? options.file) !== undefined)
      await tellLeftBehind(context, options, changed)
  })
  examples(withHub(withFilters(update)), [
    ["redcar trigger update paid --destination shop-2", "Send to another destination, but for what is owed already"],
    ["redcar trigger update paid --destination shop-2 --backlog move", "And what is owed already, too"],
    ["redcar trigger update paid --retry-delays 1s,10s,5m --retry-attempts-max 10", "Its own retry policy"],
    ["redcar trigger update paid --filters '[]'", "No filters any more"],
    ["redcar trigger update paid --reply-topic invoices", "Publish the events that its destination answers with"],
  ])
}

/** Open deliveries that are looked through. */
const lookedThrough = 1_000

/** How many open deliveries a trigger has to each destination; `more` where not all were looked through. */
async function openOf(hub: Hub, trigger: string) {
  const to = new Map<string, number>()
  let count = 0
  const items = hub.items<{ readonly destination: string }>("/v1/deliveries", { trigger })
  for await (const { destination } of items) {
    to.set(destination, (to.get(destination) ?? 0) + 1)
    if (++count === lookedThrough) break
  }
  return { to, count, more: count === lookedThrough }
}

/** What the trigger still owes to destinations that it had before, or would owe. */
async function tellLeftBehind(
  { hub, terminal }: Context,
  options: TriggerOptions,
  { id, destination, backlog }: ApiTrigger,
): Promise<void> {
  const { to, more } = await openOf(hub(options), id)
  to.delete(destination)
  for (const [where, count] of to) {
    const open = `${more ? "at least " : ""}${plural(count, "open delivery", "open deliveries")} of it`
    const line = options.dryRun
      ? `${open} to ${where} would ${backlog === "move" ? `go to ${destination} instead` : "still go there; --backlog move brings them along"}`
      : `${open} still ${count === 1 ? "goes" : "go"} to ${where}; ${leftNext(id, destination, backlog)}`
    terminal.err(`${asTyped(line, terminal.program)}\n`)
  }
}

function leftNext(id: string, destination: string, backlog: string | undefined): string {
  if (backlog === "move") return "they follow as soon as their attempts have ended"
  return `to bring them to ${destination}: redcar trigger update ${id} --backlog move`
}

function addPauseAndResume(command: Command, context: Context): void {
  const pause = subcommand(command, "pause <id>", "Pause a trigger. Nothing is lost: its events and deliveries wait.")
    .option("--reason <reason>", "why, for those who look later")
    .action(async (id: string, options: CommonOptions & { readonly reason?: string }) => {
      const json = options.reason === undefined ? {} : { reason: options.reason }
      await printDone(
        context,
        options,
        await context.hub(options).json("POST", `${pathOf(kind, id)}/pause`, { json }),
        `paused trigger ${id}`,
      )
    })
  examples(withHub(pause), [
    ["redcar trigger pause paid", "Hold everything back"],
    ["redcar trigger pause paid --reason 'shop is moving'", "And say why"],
  ])
  const resume = subcommand(command, "resume <id>", "Resume a paused trigger.").action(
    async (id: string, options: CommonOptions) =>
      printDone(
        context,
        options,
        await context.hub(options).json("POST", `${pathOf(kind, id)}/resume`, { json: {} }),
        `resumed trigger ${id}`,
      ),
  )
  examples(withHub(resume), [
    ["redcar trigger resume paid", "Deliver what was held back, and what comes"],
    ["redcar trigger resume paid --json", "For programs"],
  ])
}

function withTrigger(command: Command): Command {
  return withPolicy(command)
    .option("--topic <topic>", "the topic, or one key of it: orders, orders:123")
    .option("--destination <id>", "where its events go")
    .addOption(
      new Option(
        "--backlog <what>",
        "where open deliveries go when the destination changes: where they went (keep), or to the new one (move)",
      ).choices(["keep", "move"]),
    )
}

function fieldsOf(options: TriggerOptions): Readonly<Record<string, unknown>> {
  const filters = saysNone(options) ? [] : filtersOf(options)
  const { topic, destination, backlog } = options
  const policy = { retry: retryOf(options), ordering: orderingOf(options), reply: replyOf(options) }
  return { topic, destination, backlog, filters, ...policy }
}
