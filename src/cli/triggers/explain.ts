import type { Command } from "commander"
import { type ApiClause, type ApiWarning, clauseLines, verdictMark, warn } from "../clauses.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { type FilterOptions, withFilters } from "../filter-flags.ts"
import { printList } from "../output.ts"
import type { Column } from "../table.ts"
import { coloursFor, printable } from "../terminal.ts"
import { type SubjectOptions, subjectOf, triggerOf, withSubject } from "./subject.ts"

interface ApiSubject {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly topic?: string
  readonly cursor?: string
}

interface ApiExplanation {
  readonly event: ApiSubject
  readonly verdict: string
  readonly sentence: string
  readonly reasons: readonly { readonly kind: string; readonly sentence: string }[]
  readonly tree?: ApiClause
  readonly errors?: readonly { readonly kind: string; readonly clause: string; readonly message: string }[]
  readonly warnings?: readonly ApiWarning[]
}

type ExplainOptions = CommonOptions & FilterOptions & SubjectOptions

/** Adds `redcar trigger explain`. */
export function addExplain(command: Command, context: Context): void {
  const explain = withSubject(
    subcommand(
      command,
      "explain [id]",
      "Say why an event fires a trigger, or why not. Without an id: the trigger that the filter flags describe.",
    ),
    "where an event that is not stored would be; of a trigger without an id: its topic",
  ).action(async (id: string | undefined, options: ExplainOptions) => {
    const unsaved = triggerOf(id, options)
    const body = { ...(await subjectOf(context, options)), ...(unsaved ?? { topic: options.topic }) }
    const path = id === undefined ? "/v1/triggers:explain" : `/v1/triggers/${encodeURIComponent(id)}/explain`
    await print(context, options, await context.hub(options).json<ApiExplanation>("POST", path, { json: body }))
  })
  examples(withHub(withFilters(explain)), [
    ["redcar trigger explain paid --cursor 00000000008", "Why did this event fire it, or not?"],
    ["redcar trigger explain paid --event order.json", "Would it?"],
    ["redcar trigger explain --sql 'data.total > 100' --cursor 00000000008", "Would a trigger like this?"],
  ])
}

async function print(context: Context, options: CommonOptions, answer: ApiExplanation): Promise<void> {
  const { terminal } = context
  if (options.json) return terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
  const colours = coloursFor(terminal, "stdout")
  const { event, verdict, sentence, reasons, tree, errors = [], warnings = [] } = answer
  const on = event.topic === undefined ? "" : ` on ${event.topic}`
  const at = event.cursor === undefined ? "" : ` at ${event.cursor}`
  const lines = [
    `${verdictMark(verdict, colours)} ${colours.bold(verdict)}  ${printable(sentence)}`,
    ...reasons.filter((each) => !sentence.includes(each.sentence)).map((each) => `  ${printable(each.sentence)}`),
    colours.dim(printable(`  ${event.type} ${event.id} of ${event.source}${on}${at}`)),
    "",
    ...(tree === undefined ? [] : clauseLines(tree, colours)),
    ...errors.map(({ kind, clause, message }) => colours.red(printable(`${kind} in ${clause}: ${message}`))),
  ]
  await terminal.out(`${lines.join("\n").trimEnd()}\n`)
  warn(terminal, warnings)
}

interface ApiMatched {
  readonly id: string
  readonly destination: string
  readonly verdict: string
  readonly sentence: string
}

const columns: readonly Column<ApiMatched>[] = [
  { title: "trigger", value: ({ id }) => id },
  { title: "destination", value: ({ destination }) => destination },
  { title: "verdict", value: ({ verdict }) => verdict },
  { title: "why", value: ({ sentence }) => sentence },
]

type MatchOptions = CommonOptions & SubjectOptions & { readonly explain?: boolean; readonly limit: number }

/** Adds `redcar trigger match`. */
export function addMatch(command: Command, context: Context): void {
  const match = withSubject(
    subcommand(command, "match", "Say which triggers an event fires."),
    "where an event that is not stored would be",
  )
    .option("--explain", "also those of its topic that it does not fire, and why")
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: MatchOptions) => {
      const rows = await matched(context, options)
      const empty = options.explain
        ? "There is no trigger on its topic."
        : "No trigger. Why not? redcar trigger match --explain"
      await printList(context, options, rows, columns, empty)
    })
  examples(withHub(match), [
    ["redcar trigger match --cursor 00000000008", "By the triggers as they are now"],
    ["redcar trigger match --topic orders --event order.json --explain", "Of an event that nobody has published"],
  ])
}

async function matched(context: Context, options: MatchOptions): Promise<readonly ApiMatched[]> {
  const { topic, explain, limit } = options
  const body = { ...(await subjectOf(context, options)), topic, explain }
  const rows: ApiMatched[] = []
  for (let pageToken: string | undefined; rows.length < limit; ) {
    const json = { ...body, pageToken, pageSize: Math.min(1_000, limit - rows.length) }
    const page = await context
      .hub(options)
      .json<{ readonly items: readonly ApiMatched[]; readonly nextPageToken?: string }>("POST", "/v1/triggers:match", {
        json,
      })
    rows.push(...page.items)
    pageToken = page.nextPageToken
    if (pageToken === undefined) break
  }
  return rows
}
