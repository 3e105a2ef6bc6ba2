import { type Command, Option } from "commander"
import { openStates } from "../../core/open-delivery.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { noMatch } from "../no-match.ts"
import { ago, printFirst } from "../output.ts"
import { pageOf } from "../resource.ts"
import type { Column } from "../table.ts"
import { nextAttempt } from "./next-attempt.ts"

interface ApiOpenDelivery {
  readonly cursor: string
  readonly topic?: string
  readonly trigger: string
  readonly destination: string
  readonly state: string
  readonly attempts: number
  readonly dueAt: string
  readonly waitsFor?: string
  readonly nextAt?: string
  readonly firstDueAt: string
}

const columns: readonly Column<ApiOpenDelivery>[] = [
  { title: "event", value: ({ cursor }) => cursor },
  { title: "topic", value: ({ topic }) => topic ?? "-" },
  { title: "trigger", value: ({ trigger }) => trigger },
  { title: "destination", value: ({ destination }) => destination },
  { title: "state", value: ({ state }) => state },
  { title: "tries", value: ({ attempts }) => String(attempts), align: "right" },
  { title: "age", value: ({ firstDueAt }) => ago(firstDueAt, Date.now()), align: "right" },
  { title: "next", value: (delivery) => nextAttempt(delivery, Date.now()) },
]

interface ListOptions extends CommonOptions {
  readonly trigger?: string
  readonly destination?: string
  readonly state?: string
  readonly limit: number
}

export function configure(command: Command, context: Context): void {
  command.description("Deliveries: what is still to be brought to its destination.")
  const list = subcommand(command, "list", "List what is still to be delivered, oldest event first.")
    .option("--trigger <id>", "only those of this trigger")
    .option("--destination <id>", "only those to this destination")
    .addOption(new Option("--state <state>", "only those in this state").choices(openStates))
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: ListOptions) => {
      const { trigger, destination, state } = options
      const query = { ...pageOf(options), trigger, destination, state }
      const rows = context.hub(options).items<ApiOpenDelivery>("/v1/deliveries", query)
      const empty = "Nothing waits: all is delivered, or given up (redcar dead-letter list)."
      await printFirst(context, options, rows, columns, () => noMatch(context, options, options, empty))
    })
  examples(withHub(list), [
    ["redcar delivery list", "All that waits, for its turn, its retry or its trigger"],
    ["redcar delivery list --destination shop --state parked", "What one destination has not taken yet"],
    ["redcar delivery list --limit 10 --json", "The oldest ten, for programs"],
  ])
}
