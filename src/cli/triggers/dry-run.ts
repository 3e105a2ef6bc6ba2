import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { FailedError, UsageError } from "../failures.ts"
import { type FilterOptions, withFilters } from "../filter-flags.ts"
import { linesOf } from "../lines.ts"
import { type Place, place, placeHelp, placeText } from "../places.ts"
import { counted, plural, startProgress } from "../progress.ts"
import { table } from "../table.ts"
import { coloursFor, printable } from "../terminal.ts"
import { triggerOf } from "./subject.ts"

interface DryRunOptions extends CommonOptions, FilterOptions {
  readonly topic?: string
  readonly from?: Place
  readonly until?: Place
  readonly eventsMax?: number
  readonly sampleMax?: number
}

interface Figures {
  readonly events: number
  readonly matched: number
}

/** What a dry run came to. */
export interface DryRunResult extends Figures {
  readonly kind: "result"
  readonly complete: boolean
  readonly next: string
  readonly firstAt?: string
  readonly lastAt?: string
  readonly perMinute: number
  readonly perMinuteMax: number
  readonly sample: readonly {
    readonly cursor: string
    readonly id: string
    readonly source: string
    readonly type: string
  }[]
  readonly clauses: readonly { readonly clause: string; readonly events: number }[]
}

type Line =
  | (Figures & { readonly kind: "progress"; readonly share: number; readonly storedAt?: string })
  | DryRunResult
  | { readonly kind: "failed"; readonly detail: string }

/** Adds `redcar trigger dry-run`. */
export function addDryRun(command: Command, context: Context): void {
  const dryRun = subcommand(
    command,
    "dry-run [id]",
    "Try a trigger on stored events; nothing is delivered. Without an id: the trigger that the flags describe.",
  )
    .option("--topic <topic>", "of a trigger without an id: its topic")
    .option("--from <place>", `where to begin: ${placeHelp} (default: oldest)`, place)
    .option("--until <place>", "where to end, likewise (default: newest)", place)
    .option("--events-max <count>", "read at most so many events (default: a million)", wholeNumber(1, 100_000_000))
    .option("--sample-max <count>", "show so many of those that match (default: 10)", wholeNumber(0, 100))
    .action((id: string | undefined, options: DryRunOptions) => run(context, id, options))
  examples(withHub(withFilters(dryRun)), [
    ["redcar trigger dry-run paid", "What it would have fired on, of all there is"],
    ["redcar trigger dry-run --topic orders --sql 'data.total > 100' --from 24h", "Before it is made: of the last day"],
  ])
}

async function run(context: Context, id: string | undefined, options: DryRunOptions): Promise<void> {
  const unsaved = triggerOf(id, options)
  if (id === undefined && options.topic === undefined) {
    throw new UsageError("which trigger?", ["Name one, or say --topic and the filters of one that is not saved."])
  }
  if (id !== undefined && options.topic !== undefined) {
    throw new UsageError("a trigger and a topic at once", [`Trigger ${id} has its own topic; leave --topic out.`])
  }
  const { eventsMax, sampleMax } = options
  const range = { from: placeText(options.from), until: placeText(options.until), eventsMax, sampleMax }
  const path = id === undefined ? "/v1/triggers:dry-run" : `/v1/triggers/${encodeURIComponent(id)}/dry-run`
  printDryRun(context, options, await followDryRun(context, options, path, { ...unsaved, ...range }))
}

/** Prints what a dry run came to. */
export function printDryRun(context: Context, { json }: CommonOptions, result: DryRunResult): void {
  context.terminal.out(json ? `${JSON.stringify(result, null, 2)}\n` : report(context, result))
}

/** Shows progress until the result is there. Ctrl-C breaks off, and with it the hub's reading. */
export async function followDryRun(
  context: Context,
  options: CommonOptions,
  path: string,
  json: object,
): Promise<DryRunResult> {
  const { terminal } = context
  const signal = terminal.interrupted()
  const progress = startProgress(terminal, 1_000)
  let last: Figures = { events: 0, matched: 0 }
  try {
    const response = await context.hub(options).send("POST", path, { json, signal })
    for await (const line of linesOf<Line>(response)) {
      if (line.kind === "failed") throw new FailedError(line.detail)
      if (line.kind === "result") return line
      last = line
      progress.update(line.share * 1_000, `${plural(line.events, "event")}, ${counted(line.matched)} matched`)
    }
  } catch (error) {
    if (!signal.aborted) throw error
    throw new FailedError(`stopped: ${plural(last.events, "event")} read, ${counted(last.matched)} matched so far`)
  } finally {
    progress.end()
  }
  throw new FailedError("the hub broke off before the end", ["Try again; its log says more."])
}

function report({ terminal }: Context, result: DryRunResult): string {
  const colours = coloursFor(terminal, "stdout")
  const { events, matched, complete, next, firstAt, lastAt, perMinute, perMinuteMax, sample, clauses } = result
  const share = events === 0 ? "" : ` (${Math.round((matched / events) * 1_000) / 10} %)`
  const head = [
    `${colours.bold(`${counted(matched)} of ${plural(events, "event")}`)} would fire it${share}`,
    ...(firstAt === undefined ? [] : [`stored ${firstAt} to ${lastAt}`]),
    ...(matched === 0 ? [] : [`${perMinute} a minute on average, ${counted(perMinuteMax)} in the busiest one`]),
    ...(complete ? [] : [colours.yellow(`not all was read: go on with --from ${next}`)]),
  ]
  const samples = table(
    sample,
    [
      { title: "matched", value: ({ cursor }) => cursor },
      { title: "type", value: ({ type }) => type },
      { title: "source", value: ({ source }) => source },
      { title: "id", value: ({ id }) => id },
    ],
    terminal.columns,
    colours.dim,
  )
  const deciding = table(
    clauses.slice(0, 20),
    [
      { title: "not matched", value: (each) => counted(each.events), align: "right" },
      { title: "because this did not hold", value: ({ clause }) => printable(clause) },
    ],
    terminal.columns,
    colours.dim,
  )
  return [
    `${head.join("\n")}\n`,
    ...(sample.length > 0 ? [samples] : []),
    ...(clauses.length > 0 ? [deciding] : []),
  ].join("\n")
}
