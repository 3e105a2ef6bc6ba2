import { type Command, Option } from "commander"
import { replayStates } from "../../core/resources.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { FailedError } from "../failures.ts"
import { type FilterOptions, filtersOf, withFilters } from "../filter-flags.ts"
import { noMatch } from "../no-match.ts"
import { ago, printDone, printFirst, printOne } from "../output.ts"
import { type Place, place, placeHelp, placeText } from "../places.ts"
import { counted, plural, startProgress } from "../progress.ts"
import { pageOf } from "../resource.ts"
import type { Column } from "../table.ts"
import { followDryRun, printDryRun } from "../triggers/dry-run.ts"

const path = "/v1/replays"
const lookedEveryMs = 500

interface ApiReplay {
  readonly id: string
  readonly trigger: string
  readonly destination: string
  readonly state: (typeof replayStates)[number]
  readonly reason?: string
  readonly total?: number
  readonly done: number
  readonly perSecond?: number
  readonly secondsLeft?: number
  readonly createdAt: string
}

interface CreateOptions extends CommonOptions, FilterOptions {
  readonly from?: Place
  readonly until?: Place
  readonly destination?: string
  readonly rate?: number
  readonly dryRun?: boolean
  readonly wait?: boolean
}

interface ListOptions extends CommonOptions {
  readonly trigger?: string
  readonly state?: string
  readonly limit: number
}

const columns: readonly Column<ApiReplay>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "trigger", value: ({ trigger }) => trigger },
  { title: "destination", value: ({ destination }) => destination },
  { title: "state", value: ({ state, reason }) => [state, ...(reason ? [reason] : [])].join(": ") },
  { title: "done", value: ({ done }) => counted(done), align: "right" },
  { title: "total", value: ({ total }) => (total === undefined ? "-" : counted(total)), align: "right" },
  { title: "per s", value: ({ perSecond }) => (perSecond === undefined ? "-" : counted(perSecond)), align: "right" },
  { title: "left", value: (replay) => left(replay), align: "right" },
  { title: "age", value: ({ createdAt }) => ago(createdAt, Date.now()), align: "right" },
]

function left({ secondsLeft }: ApiReplay): string {
  return secondsLeft === undefined ? "-" : `${counted(secondsLeft)}s`
}

export function configure(command: Command, context: Context): void {
  command.description("Replays: events of the past, delivered once more.")
  addCreate(command, context)
  addList(command, context)
  const get = subcommand(command, "get <id>", "Show a replay, and how far it is.").action(
    async (id: string, options: CommonOptions) =>
      printOne(context, options, await context.hub(options).json("GET", pathOf(id))),
  )
  examples(withHub(get), [
    ["redcar replay get rp-0mjuohs0kksdsh", "What it covers, and how far it is"],
    ["redcar replay get rp-0mjuohs0kksdsh --json", "For programs"],
  ])
  const wait = subcommand(command, "wait <id>", "Show how far a replay is until all its deliveries are made.").action(
    async (id: string, options: CommonOptions) => {
      const replay = await waitFor(context, options, id)
      await printDone(
        context,
        options,
        replay,
        `replay ${id} has made ${plural(replay.done, "delivery", "deliveries")}`,
      )
    },
  )
  examples(withHub(wait), [
    ["redcar replay wait rp-0mjuohs0kksdsh", "Ctrl-C ends the waiting, not the replay"],
    ["redcar replay wait rp-0mjuohs0kksdsh --json", "For programs: prints it when it is over"],
  ])
  addAction(command, context, "pause", "Make no more deliveries until it is resumed.", "paused")
  addAction(command, context, "resume", "Go on where it was.", "resumed")
  addAction(command, context, "cancel", "Make no more deliveries, and drop those that are open.", "cancelled")
}

function addCreate(command: Command, context: Context): void {
  const create = subcommand(command, "create <trigger>", "Deliver events of a trigger's topic once more.")
    .option("--from <place>", `where to begin: ${placeHelp} (default: oldest)`, place)
    .option("--until <place>", "where to end, likewise (default: newest)", place)
    .option("--destination <id>", "where to deliver (default: where the trigger does)")
    .option("--rate <count>", "deliveries per second at most", Number)
    .option("--dry-run", "only count, and show some")
    .option("--wait", "show how far it is until all deliveries are made")
    .action((trigger: string, options: CreateOptions) => make(context, trigger, options))
  examples(withHub(withFilters(create)), [
    ["redcar replay create paid --from 24h --dry-run", "How many there would be, of the last day"],
    ["redcar replay create paid --from 24h --rate 50 --wait", "Deliver them, no more than 50 a second"],
    ["redcar replay create paid --from oldest --destination new-shop", "Everything that is kept, to somebody new"],
  ])
}

async function make(context: Context, trigger: string, options: CreateOptions): Promise<void> {
  const { destination, rate, dryRun, wait } = options
  const json = {
    ...{ from: placeText(options.from), until: placeText(options.until), destination },
    ...{ filters: filtersOf(options), ratePerSecond: rate },
  }
  const asked = `/v1/triggers/${encodeURIComponent(trigger)}/replays`
  if (dryRun) {
    const result = await followDryRun(context, options, asked, { ...json, dryRun: true })
    return printDryRun(context, options, result)
  }
  const made = await context.hub(options).json<ApiReplay>("POST", asked, { json })
  if (!wait) return printDone(context, options, made, `made replay ${made.id}; see: redcar replay wait ${made.id}`)
  const over = await waitFor(context, options, made.id)
  await printDone(context, options, over, `replay ${made.id} has made ${plural(over.done, "delivery", "deliveries")}`)
}

function addList(command: Command, context: Context): void {
  const list = subcommand(command, "list", "List replays, oldest first.")
    .option("--trigger <id>", "only those of this trigger")
    .addOption(new Option("--state <state>", "only those in this state").choices(replayStates))
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: ListOptions) => {
      const { trigger, state } = options
      const rows = context.hub(options).items<ApiReplay>(path, { ...pageOf(options), trigger, state })
      const empty = "No replays. Make one: redcar replay create <trigger> --from 24h"
      await printFirst(context, options, rows, columns, () => noMatch(context, options, { trigger }, empty))
    })
  examples(withHub(list), [
    ["redcar replay list", "All of them"],
    ["redcar replay list --state running --json", "Those that make deliveries now, for programs"],
  ])
}

function addAction(command: Command, context: Context, action: string, description: string, done: string): void {
  const added = subcommand(command, `${action} <id>`, description).action(async (id: string, options: CommonOptions) =>
    printDone(
      context,
      options,
      await context.hub(options).json("POST", `${pathOf(id)}/${action}`, { json: {} }),
      `${done} replay ${id}`,
    ),
  )
  examples(withHub(added), [
    [`redcar replay ${action} rp-0mjuohs0kksdsh`, description.replace(/\.$/, "")],
    [`redcar replay ${action} rp-0mjuohs0kksdsh --json`, "For programs"],
  ])
}

/** Asks until it is over. Throws FailedError where it ends otherwise than done, or is interrupted. */
async function waitFor(context: Context, options: CommonOptions, id: string): Promise<ApiReplay> {
  const signal = context.terminal.interrupted()
  const progress = startProgress(context.terminal, 1_000)
  try {
    // Ends: the replay does, or whoever waits breaks off.
    for (;;) {
      const replay = await context.hub(options).json<ApiReplay>("GET", pathOf(id))
      if (replay.state === "done") return replay
      if (replay.state === "cancelled") throw new FailedError(`replay ${id} was cancelled${because(replay)}`)
      progress.update(1_000 * shareOf(replay), noteOf(replay))
      await new Promise((resolve) => setTimeout(resolve, lookedEveryMs))
      if (signal.aborted) throw new FailedError(`replay ${id} goes on`, [`See: redcar replay wait ${id}`])
    }
  } finally {
    progress.end()
  }
}

function because({ reason }: ApiReplay): string {
  return reason === undefined ? "" : `: ${reason}`
}

function shareOf({ done, total }: ApiReplay): number {
  return total === undefined ? 0 : done / Math.max(1, total)
}

function noteOf(replay: ApiReplay): string {
  const { state, done, total, perSecond } = replay
  if (state !== "running" || total === undefined) return state
  const rate = perSecond === undefined ? "" : `, ${counted(perSecond)}/s, ${left(replay)} left`
  return `${counted(done)} of ${counted(total)}${rate}`
}

function pathOf(id: string): string {
  return `${path}/${encodeURIComponent(id)}`
}
