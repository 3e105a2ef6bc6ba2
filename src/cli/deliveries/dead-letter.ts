import { type Command, Option } from "commander"
import { deadReasons } from "../../core/delivery.ts"
import { parseExact } from "../../formats/exact-json.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import type { Query } from "../hub.ts"
import { noMatch } from "../no-match.ts"
import { ago, printDone, printFirst, printList, printOne } from "../output.ts"
import { pageOf, readInput } from "../resource.ts"
import type { Column } from "../table.ts"
import { printable } from "../terminal.ts"
import { addDiscard } from "./discard.ts"
import { doMany, type LettersAction } from "./many-letters.ts"

const path = "/v1/dead-letters"

interface Which {
  readonly trigger?: string
  readonly destination?: string
  readonly deadReason?: string
}

interface ApiAttempt {
  readonly number: number
  readonly startedAt?: string
  readonly durationMs: number
  readonly outcome: { readonly kind: string; readonly detail: string; readonly response?: { readonly status: number } }
}

interface ApiDeadLetter {
  readonly id: string
  readonly trigger: string
  readonly destination: string
  readonly reason: string
  readonly attempts: number | readonly ApiAttempt[]
  readonly diedAt: string
  readonly lastOutcome?: { readonly detail: string }
}

const columns: readonly Column<ApiDeadLetter>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "trigger", value: ({ trigger }) => trigger },
  { title: "destination", value: ({ destination }) => destination },
  { title: "reason", value: ({ reason }) => reason },
  {
    title: "tries",
    value: ({ attempts }) => String(typeof attempts === "number" ? attempts : attempts.length),
    align: "right",
  },
  { title: "age", value: ({ diedAt }) => ago(diedAt, Date.now()), align: "right" },
  { title: "last outcome", value: ({ lastOutcome }) => lastOutcome?.detail ?? "" },
]

/** The attempts of a delivery, as a table. */
export const attemptColumns: readonly Column<ApiAttempt>[] = [
  { title: "no", value: ({ number }) => String(number), align: "right" },
  { title: "started", value: ({ startedAt }) => startedAt ?? "-" },
  { title: "ms", value: ({ durationMs }) => String(Math.round(durationMs)), align: "right" },
  { title: "outcome", value: ({ outcome }) => outcome.kind },
  { title: "status", value: ({ outcome }) => String(outcome.response?.status ?? "-"), align: "right" },
  { title: "detail", value: ({ outcome }) => outcome.detail },
]

export function configure(command: Command, context: Context): void {
  command.description("Dead letters: deliveries that were given up, with their reason.")
  addList(command, context)
  addRead(command, context)
  addRedrive(command, context)
  addDiscard(command, context)
}

function withWhich(command: Command): Command {
  return command
    .option("--trigger <id>", "only those of this trigger")
    .option("--destination <id>", "only those of this destination")
    .addOption(new Option("--dead-reason <reason>", "only those given up for this reason").choices(deadReasons))
}

function whichOf({ trigger, destination, deadReason: reason }: Which): Query {
  return { trigger, destination, reason }
}

function addList(command: Command, context: Context): void {
  const list = withWhich(subcommand(command, "list", "List dead letters, oldest event first."))
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: CommonOptions & Which & { readonly limit: number }) => {
      const rows = context.hub(options).items<ApiDeadLetter>(path, { ...pageOf(options), ...whichOf(options) })
      const empty = "No dead letters: nothing was given up."
      await printFirst(context, options, rows, columns, () => noMatch(context, options, options, empty))
    })
  examples(withHub(list), [
    ["redcar dead-letter list", "All of them"],
    ["redcar dead-letter list --destination shop --dead-reason exhausted", "Those that one destination never took"],
  ])
}

function addRead(command: Command, context: Context): void {
  const get = subcommand(command, "get <id>", "Show one dead letter in full.").action(
    async (id: string, options: CommonOptions) =>
      printOne(context, options, await context.hub(options).json("GET", `${path}/${encodeURIComponent(id)}`)),
  )
  examples(withHub(get), [
    ["redcar dead-letter get 01ARZ.paid", "Reason, last outcome, attempts"],
    ["redcar dead-letter get 01ARZ.paid --json", "For programs"],
  ])
  const attempts = subcommand(command, "attempts <id>", "Show what was tried for a dead letter.").action(
    async (id: string, options: CommonOptions) => {
      const letter = await context.hub(options).json<ApiDeadLetter>("GET", `${path}/${encodeURIComponent(id)}`)
      const rows = typeof letter.attempts === "number" ? [] : letter.attempts
      await printList(context, options, rows, attemptColumns, "Its attempts are not kept any more.")
    },
  )
  examples(withHub(attempts), [
    ["redcar dead-letter attempts 01ARZ.paid", "Each attempt and its answer"],
    ["redcar dead-letter attempts 01ARZ.paid --json", "With the answers' headers and bodies"],
  ])
}

interface RedriveOptions extends CommonOptions, Which {
  readonly file?: string
  readonly patch?: string
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

function addRedrive(command: Command, context: Context): void {
  const redrive = withWhich(
    subcommand(
      command,
      "redrive [id]",
      "Deliver again: one, as it is or edited, or all that the flags mean. Their attempts are forgiven.",
    ),
  )
    .option("--file <path>", "of one: another event that is delivered instead, as JSON (`-`: standard input)")
    .option("--patch <json>", "of one: what is different of its event, as a merge patch; the rest stays")
    .option("--all", "every dead letter")
    .option("--dry-run", "only count")
    .option("-y, --yes", "do not ask")
    .action((id: string | undefined, options: RedriveOptions) =>
      id === undefined ? redriveMany(context, options) : redriveOne(context, id, options),
    )
  examples(withHub(redrive), [
    ["redcar dead-letter redrive 01ARZ.paid", "One"],
    [
      `redcar dead-letter redrive 01ARZ.paid --patch '{"data": {"total": 42.5}}'`,
      "One, edited: another event goes out",
    ],
    ["redcar dead-letter redrive --destination shop", "All of a destination: counts, asks, and does it"],
    ["redcar dead-letter redrive --all --dry-run", "How many would it be?"],
  ])
}

async function redriveOne(context: Context, id: string, options: RedriveOptions): Promise<void> {
  if (Object.values(whichOf(options)).some((value) => value !== undefined) || options.all) {
    throw new UsageError("an id and a filter at once", ["Name one dead letter, or say which are meant; not both."])
  }
  const json = await editOf(context, options)
  const answer = await context
    .hub(options)
    .json<Redriven>("POST", `${path}/${encodeURIComponent(id)}/redrive`, { json })
  const as = answer.edit && `, as event ${answer.edit.id} at ${answer.edit.cursor}`
  await printDone(context, options, answer, printable(`dead letter ${id} is being delivered again${as ?? ""}`))
}

interface Redriven {
  readonly edit?: { readonly id: string; readonly cursor: string }
}

/** What is delivered instead, as the hub wants it; nothing: the event as it is. */
async function editOf(context: Context, { file, patch }: RedriveOptions): Promise<Readonly<Record<string, unknown>>> {
  if (file !== undefined && patch !== undefined) {
    throw new UsageError("--file and --patch at once", ["Give all of the event, or what is different of it."])
  }
  if (patch !== undefined) return { patch: jsonOf("--patch", patch) }
  return file === undefined ? {} : { event: jsonOf(file, await readInput(context, file)) }
}

function jsonOf(name: string, text: string): unknown {
  try {
    return parseExact(text)
  } catch (error) {
    const why = `${name} is not JSON: ${(error as Error).message}`
    throw new UsageError(why, ["It has to be one JSON object."], { cause: error })
  }
}

async function redriveMany(context: Context, options: RedriveOptions): Promise<void> {
  const which = whichOf(options)
  if (options.file !== undefined || options.patch !== undefined) {
    throw new UsageError("only one dead letter can be edited", ["Name it: redcar dead-letter list shows their ids."])
  }
  if (!options.all && Object.values(which).every((value) => value === undefined)) {
    throw new UsageError("which dead letters?", [
      "Name one, or say --trigger, --destination or --dead-reason, or --all.",
    ])
  }
  await doMany(context, options, redriving, which)
}

const redriving: LettersAction = {
  path: `${path}/redrive`,
  member: "redriven",
  would: "delivered again",
  done: "on the way again",
  question: (letters) => `Deliver ${letters} again?`,
}
