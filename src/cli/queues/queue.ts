import { type Command, Option } from "commander"
import {
  type CommonOptions,
  type Context,
  durationText,
  examples,
  subcommand,
  wholeNumber,
  withHub,
} from "../command.ts"
import { exitCodes, ToldError, UsageError } from "../failures.ts"
import type { Hub } from "../hub.ts"
import { ago, printList, printOne } from "../output.ts"
import type { Column } from "../table.ts"
import { leaseFrom, queuePath, type Work, type WorkItem } from "./queue-calls.ts"
import { workOn } from "./queue-work.ts"

interface LeaseOptions extends CommonOptions {
  readonly max: number
  readonly waitFor?: string
  readonly lease?: string
}

interface SettleOptions extends CommonOptions {
  readonly result: "done" | "retry" | "reject"
  readonly after?: string
  readonly reason?: string
}

interface ApiState {
  readonly lease: string
  readonly state: string
  readonly expiresAt?: string
}

const columns: readonly Column<WorkItem>[] = [
  { title: "event", value: ({ cursor }) => cursor },
  { title: "topic", value: ({ topic }) => topic },
  { title: "type", value: ({ event }) => event.type },
  { title: "id", value: ({ event }) => event.id },
  { title: "attempt", value: ({ attempt }) => String(attempt), align: "right" },
  { title: "ends in", value: endsIn, align: "right" },
  { title: "lease", value: ({ lease }) => lease },
]

interface ApiUnlocked {
  readonly delivery: string
  readonly state: string
}

const unlockedColumns: readonly Column<ApiUnlocked>[] = [
  { title: "state", value: ({ state }) => state },
  { title: "delivery", value: ({ delivery }) => delivery },
]

const stateColumns: readonly Column<ApiState>[] = [
  { title: "state", value: ({ state }) => state },
  { title: "ends at", value: ({ expiresAt }) => expiresAt ?? "-" },
  { title: "lease", value: ({ lease }) => lease },
]

export function configure(command: Command, context: Context): void {
  command.description("Work queues: deliveries that workers lease and settle.")
  addWork(command, context)
  addStatus(command, context)
  addLease(command, context)
  addSettle(command, context)
  addExtend(command, context)
  addUnlock(command, context)
}

function addWork(command: Command, context: Context): void {
  const work = subcommand(
    command,
    "work <queue>",
    "Run a command for each event, which it reads from its standard input.",
  )
    .requiredOption(
      "--exec <command>",
      "a command for the shell; exit 0: done, 75: again after --retry-after, else: again by the policy",
    )
    .option("--concurrency <count>", "so many at a time", wholeNumber(1, 256), 1)
    .option("--retry-after <duration>", "when to try again what exits with 75", durationText, "10s")
    .option(
      "--lease <duration>",
      "how long each lease is, unless the queue's never lapse; it is made longer while the command runs",
      durationText,
      "1m",
    )
    .option("-n, --limit <count>", "stop after so many", wholeNumber(1))
    .option("--no-wait", "stop when nothing is due")
    .action((queue: string, options: CommonOptions & Work) => workOn(context, queue, options))
  examples(withHub(work), [
    ["redcar queue work jobs --exec ./resize.sh", "A worker, until Ctrl-C"],
    ["redcar queue work jobs --exec 'jq -e .data' --concurrency 8", "Eight at a time"],
    ["redcar queue work jobs --exec ./resize.sh --no-wait", "What is due now, and no more"],
  ])
}

function addStatus(command: Command, context: Context): void {
  const status = subcommand(command, "status <queue>", "Show how a queue stands.").action(
    async (queue: string, options: CommonOptions) =>
      printOne(context, options, await context.hub(options).json("GET", queuePath(queue))),
  )
  examples(withHub(status), [
    ["redcar queue status jobs", "How many are ready, leased, parked, held, dead"],
    ["redcar queue status jobs --json", "For programs"],
  ])
}

function addLease(command: Command, context: Context): void {
  const lease = subcommand(command, "lease <queue>", "Lease deliveries, to settle them yourself.")
    .option("--max <count>", "at most so many", wholeNumber(1, 1_000), 1)
    .option("--wait-for <duration>", "wait so long where nothing is due, 60s at most", durationText)
    .option("--lease <duration>", "how long they are leased (default: the queue's)", durationText)
    .action(async (queue: string, options: LeaseOptions) => {
      const { max, waitFor, lease } = options
      const items = await leaseFrom(context.hub(options), queue, { max, waitFor, lease })
      await printList(context, options, items, columns, "Nothing is due.")
    })
  examples(withHub(lease), [
    ["redcar queue lease jobs --max 10", "Ten deliveries, and the leases to settle them by"],
    ["redcar queue lease jobs --wait-for 20s --json", "The next one with its event, for programs"],
  ])
}

function addSettle(command: Command, context: Context): void {
  const settle = subcommand(command, "settle <queue> <lease...>", "Say how it ended with what was leased.")
    .addOption(new Option("--result <result>", "how").choices(["done", "retry", "reject"]).default("done"))
    .option("--after <duration>", "of a retry: when (default: by the trigger's policy)", durationText)
    .option("--reason <reason>", "of a retry or a rejection: why")
    .action(async (queue: string, leases: readonly string[], options: SettleOptions) => {
      const { result, after, reason } = options
      const settlements = leases.map((lease) => ({ lease, result, ...(after && { after }), ...(reason && { reason }) }))
      await tell(context, options, queue, "settle", { settlements })
    })
  examples(withHub(settle), [
    ["redcar queue settle jobs MSAwMDAwMDAwMDAwOC5zaGlw", "Done"],
    ["redcar queue settle jobs MSAwMDAwMDAwMDAwOC5zaGlw --result retry --after 5m", "Again in 5 minutes"],
    ["redcar queue settle jobs MSAwMDAwMDAwMDAwOC5zaGlw --result reject --reason 'no such customer'", "A dead letter"],
  ])
}

function addExtend(command: Command, context: Context): void {
  const extend = subcommand(command, "extend <queue> <lease...>", "Make leases longer.")
    .option("--by <duration>", "from now on (default: the queue's lease)", durationText)
    .action((queue: string, leases: readonly string[], options: CommonOptions & { readonly by?: string }) =>
      tell(context, options, queue, "extend", { leases, by: options.by }),
    )
  examples(withHub(extend), [
    ["redcar queue extend jobs MSAwMDAwMDAwMDAwOC5zaGlw", "As long as it was at first"],
    ["redcar queue extend jobs MSAwMDAwMDAwMDAwOC5zaGlw --by 10m", "Ten minutes from now"],
  ])
}

function addUnlock(command: Command, context: Context): void {
  const unlock = subcommand(
    command,
    "unlock <queue> [delivery...]",
    "Give leased deliveries back, of workers who died: they can be leased again at once.",
  )
    .option("--all", "all that are leased")
    .action(async (queue: string, deliveries: readonly string[], options: CommonOptions & { readonly all?: true }) => {
      if (deliveries.length === 0 && !options.all)
        throw new UsageError("which deliveries?", ["Name some, or say --all."])
      if (deliveries.length > 0 && options.all)
        throw new UsageError("--all means all that are leased", ["Leave out the deliveries, or --all."])
      const items = options.all
        ? await unlockAll(context.hub(options), queue)
        : await unlockSome(context.hub(options), queue, deliveries)
      await printList(context, options, items, unlockedColumns, "Nothing is leased.")
      if (items.some(({ state }) => state === "failed")) throw new ToldError(exitCodes.failed)
    })
  examples(withHub(unlock), [
    ["redcar queue unlock jobs 000000000ko.paid.mg1abcd0012xyz", "This one, whoever has it"],
    ["redcar queue unlock jobs --all", "All that are leased, as when all workers are gone"],
  ])
}

/** Of one request. */
const unlockedAtOnce = 1_000

async function unlockSome(hub: Hub, queue: string, deliveries: readonly string[]): Promise<readonly ApiUnlocked[]> {
  const items: ApiUnlocked[] = []
  for (let i = 0; i < deliveries.length; i += unlockedAtOnce)
    items.push(...(await askUnlock(hub, queue, { deliveries: deliveries.slice(i, i + unlockedAtOnce) })).items)
  return items
}

async function unlockAll(hub: Hub, queue: string): Promise<readonly ApiUnlocked[]> {
  const items: ApiUnlocked[] = []
  let after: string | undefined
  // Ends: with all that is leased: each page begins behind the last one.
  do {
    const page = await askUnlock(hub, queue, { all: true, ...(after !== undefined && { after }) })
    items.push(...page.items)
    after = page.next
  } while (after !== undefined)
  return items
}

function askUnlock(hub: Hub, queue: string, json: object): Promise<{ items: readonly ApiUnlocked[]; next?: string }> {
  return hub.json("POST", `${queuePath(queue)}/unlock`, { json })
}

function endsIn({ expiresAt }: WorkItem): string {
  return expiresAt === undefined ? "never" : ago(new Date().toISOString(), Date.parse(expiresAt))
}

/** What became of each lease; the exit code says whether all were heard. */
async function tell(
  context: Context,
  options: CommonOptions,
  queue: string,
  verb: string,
  json: object,
): Promise<void> {
  const { items } = await context
    .hub(options)
    .json<{ items: readonly ApiState[] }>("POST", `${queuePath(queue)}/${verb}`, { json })
  await printList(context, options, items, stateColumns, "")
  if (items.some(({ state }) => state === "lost" || state === "failed")) throw new ToldError(exitCodes.failed)
}
