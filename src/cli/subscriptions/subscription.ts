import type { Command } from "commander"
import { type ApiWarning, warn } from "../clauses.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { type FilterOptions, filtersOf, saysNone, withFilters } from "../filter-flags.ts"
import { nearTopic } from "../hub.ts"
import { ago, printDone } from "../output.ts"
import { type Place, place, placeHelp, startOf, withStart } from "../places.ts"
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
import { type ApiPosition, type ReadOptions, readOn } from "./subscription-read.ts"

interface SubscriptionOptions extends BodyOptions, FilterOptions {
  readonly topic?: string
  readonly start?: Place
}

interface ExpectedOptions extends CommonOptions {
  readonly expected?: string
  readonly epoch?: number
}

interface ApiSubscription extends ApiResource {
  readonly topic: string
  readonly filters?: readonly unknown[]
  readonly status?: { readonly position?: ApiPosition }
  readonly warnings?: readonly ApiWarning[]
}

const kind: ResourceKind<ApiSubscription> = {
  name: "subscription",
  path: "/v1/subscriptions",
  columns: [
    { title: "id", value: ({ id }) => id },
    { title: "topic", value: ({ topic }) => topic },
    { title: "position", value: ({ status }) => status?.position?.cursor ?? "-" },
    { title: "epoch", value: ({ status }) => String(status?.position?.epoch ?? "-"), align: "right" },
    { title: "moved", value: ({ status }) => ago(status?.position?.movedAt, Date.now()), align: "right" },
    { title: "filters", value: ({ filters }) => (filters?.length ? JSON.stringify(filters) : "every event") },
  ],
  empty: "No subscriptions yet. Make one: redcar subscription create billing --topic orders",
  readOnly: ["warnings"],
  deleting: "How far it was read is forgotten; the events stay.",
}

export function configure(command: Command, context: Context): void {
  command.description("Subscriptions: named places in topics, from which readers go on.")
  addCommonCommands(command, kind, context)
  addCreate(command, context)
  addUpdate(command, context)
  addRead(command, context)
  addCommit(command, context)
  addReset(command, context)
}

function addCreate(command: Command, context: Context): void {
  const create = subcommand(command, "create [id]", "Make a subscription. Without an id the hub makes one up.")
  withBody(create, kind, "create")
    .option("--topic <topic>", "the topic, or one key of it: orders, orders:123")
    .option("--start <place>", `where to begin: ${placeHelp} (default: newest)`, place)
    .action(async (id: string | undefined, options: SubscriptionOptions) => {
      const fields = { id, topic: options.topic, filters: filtersOf(options), start: startOf(options.start, "newest") }
      const body = withStart(await bodyOf(context, kind, options, fields, "create"), "newest")
      const hub = context.hub(options)
      const slip = typeof body.topic === "string" ? await nearTopic(hub, body.topic, options.dryRun) : undefined
      const made = await hub.json<ApiSubscription>("POST", kind.path, { ...changeRequest(options), json: body })
      const line = `subscription ${made.id} of ${made.topic}`
      await printDone(context, options, made, options.dryRun ? `would make ${line}` : `made ${line}`)
      if (slip !== undefined) context.terminal.err(slip)
      warn(context.terminal, made.warnings)
    })
  examples(withHub(withFilters(create)), [
    ["redcar subscription create billing --topic orders", "What comes from now on"],
    ["redcar subscription create billing --topic orders --start oldest --exact type=order.paid", "All payments"],
    ["redcar subscription create one --topic orders:123 --start 24h", "One key, the last day and on"],
  ])
}

function addUpdate(command: Command, context: Context): void {
  const update = subcommand(
    command,
    "update <id>",
    "Change a subscription; what is not said stays, and it stays where it is.",
  )
  withBody(update, kind, "update").action(async (id: string, options: SubscriptionOptions) => {
    const filters = saysNone(options) ? [] : filtersOf(options)
    const body = await bodyOf(context, kind, options, { filters }, "update")
    const changed = await patch<ApiSubscription>(context, options, kind, id, body)
    const line = options.dryRun ? `subscription ${id} would be changed` : `changed subscription ${id}`
    await printDone(context, options, changed, line)
    warn(context.terminal, changed.warnings)
  })
  examples(withHub(withFilters(update)), [
    ["redcar subscription update billing --exact type=order.refunded", "Other events, from where it is"],
    ["redcar subscription update billing --filters '[]'", "No filters any more"],
  ])
}

function addRead(command: Command, context: Context): void {
  const read = subcommand(command, "read <id>", "Print what a subscription has not committed. Reading moves nothing.")
    .option("--from <place>", "a cursor: read after it, and not after the position", place)
    .option("-n, --limit <count>", "stop after so many", wholeNumber(1))
    .option("--follow", "go on at the present end, until Ctrl-C")
    .option("--commit", "commit what was printed, page by page")
    .action((id: string, options: ReadOptions) => readOn(context, pathOf(kind, id), id, options))
  examples(withHub(read), [
    ["redcar subscription read billing", "What is still to be read"],
    ["redcar subscription read billing --follow --commit", "A consumer: prints, then commits"],
    ["redcar subscription read billing --limit 10 --json", "Each answer of the hub on a line, for programs"],
  ])
}

function withExpected(command: Command): Command {
  return command
    .option("--expected <cursor>", "only if it still stands at this cursor; with --epoch")
    .option("--epoch <count>", "and still has this epoch", wholeNumber(1))
}

function expectedOf({ expected, epoch }: ExpectedOptions): { readonly expected?: object } {
  if (expected === undefined && epoch === undefined) return {}
  if (expected !== undefined && epoch !== undefined) return { expected: { cursor: expected, epoch } }
  throw new UsageError("--expected and --epoch go together", ["redcar subscription get shows both."])
}

function addCommit(command: Command, context: Context): void {
  const commit = subcommand(command, "commit <id> <cursor>", "Say that all up to a cursor is dealt with.")
  withExpected(commit).action(async (id: string, cursor: string, options: ExpectedOptions) => {
    const json = { cursor, ...expectedOf(options) }
    const position = await context.hub(options).json<ApiPosition>("POST", `${pathOf(kind, id)}/commit`, { json })
    await printDone(context, options, position, `subscription ${id} stands at ${position.cursor}`)
  })
  examples(withHub(commit), [
    ["redcar subscription commit billing 00000000008", "It moves on; it never moves back"],
    [
      "redcar subscription commit billing 00000000008 --expected 00000000000 --epoch 1",
      "Only if nobody else has moved it",
    ],
  ])
}

function addReset(command: Command, context: Context): void {
  const reset = subcommand(command, "reset <id>", "Move a subscription back or forward.")
    .requiredOption("--to <place>", `where to: ${placeHelp}`, place)
    .action(async (id: string, options: ExpectedOptions & { readonly to: Place }) => {
      const json = { to: startOf(options.to, "newest"), ...expectedOf(options) }
      const position = await context.hub(options).json<ApiPosition>("POST", `${pathOf(kind, id)}/reset`, { json })
      const line = `subscription ${id} stands at ${position.cursor}, epoch ${position.epoch}`
      await printDone(context, options, position, line)
    })
  examples(withHub(withExpected(reset)), [
    ["redcar subscription reset billing --to oldest", "All that is kept, once more"],
    ["redcar subscription reset billing --to 2h", "The last two hours once more"],
    ["redcar subscription reset billing --to newest", "Leave out what is there"],
  ])
}
