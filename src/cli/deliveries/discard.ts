import { type Command, InvalidArgumentError, Option } from "commander"
import { deadReasons } from "../../core/delivery.ts"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { confirmed, printDone } from "../output.ts"
import { doMany, type LettersAction } from "./many-letters.ts"

interface DiscardOptions extends CommonOptions {
  readonly reason: string
  readonly trigger?: string
  readonly destination?: string
  readonly deadReason?: string
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const path = "/v1/dead-letters"

const discarding: LettersAction = {
  path: `${path}/discard`,
  member: "discarded",
  would: "discarded for good",
  done: "discarded",
  question: (letters) => `Discard ${letters} for good?`,
}

/** Adds `redcar dead-letter discard`. */
export function addDiscard(command: Command, context: Context): void {
  const discard = subcommand(
    command,
    "discard [id]",
    "Discard for good: one, or all that the flags mean. The reason is kept with what became of their events.",
  )
    .addOption(
      new Option("--reason <reason>", "why nobody is to have them any more")
        .argParser(reasonText)
        .makeOptionMandatory(),
    )
    .option("--trigger <id>", "only those of this trigger")
    .option("--destination <id>", "only those of this destination")
    .addOption(new Option("--dead-reason <reason>", "only those given up for this reason").choices(deadReasons))
    .option("--all", "every dead letter")
    .option("--dry-run", "only count")
    .option("-y, --yes", "do not ask")
    .action((id: string | undefined, options: DiscardOptions) =>
      id === undefined ? discardMany(context, options) : discardOne(context, id, options),
    )
  examples(withHub(discard), [
    ['redcar dead-letter discard 01ARZ.paid --reason "paid by hand"', "One"],
    [
      'redcar dead-letter discard --destination shop --reason "the shop has closed"',
      "All of a destination: counts, asks, and does it",
    ],
    ['redcar dead-letter discard --all --dry-run --reason "test data"', "How many would it be?"],
  ])
}

function reasonText(text: string): string {
  if (text.length >= 1 && text.length <= 500) return text
  throw new InvalidArgumentError("Say it in 1 to 500 characters.")
}

function whichOf({ trigger, destination, deadReason }: DiscardOptions): object {
  const which = { trigger, destination, deadReason }
  return Object.fromEntries(Object.entries(which).filter(([, value]) => value !== undefined))
}

async function discardOne(context: Context, id: string, options: DiscardOptions): Promise<void> {
  if (Object.keys(whichOf(options)).length > 0 || options.all || options.dryRun) {
    throw new UsageError("an id and a filter at once", ["Name one dead letter, or say which are meant; not both."])
  }
  if (!(await confirmed(context, `Discard dead letter ${id} for good?`, options))) {
    throw new UsageError(`dead letter ${id} was not discarded`, ["Say yes when asked, or give --yes."])
  }
  const { reason } = options
  const json = { reason }
  const answer = await context.hub(options).json("POST", `${path}/${encodeURIComponent(id)}/discard`, { json })
  await printDone(context, options, answer, `dead letter ${id} is discarded`)
}

async function discardMany(context: Context, options: DiscardOptions): Promise<void> {
  const which = whichOf(options)
  if (!options.all && Object.keys(which).length === 0) {
    throw new UsageError("which dead letters?", [
      "Name one, or say --trigger, --destination or --dead-reason, or --all.",
    ])
  }
  await doMany(context, options, discarding, { ...which, reason: options.reason })
}
