import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { noMatch } from "../no-match.ts"
import { printDone, printFirst } from "../output.ts"
import { pageOf } from "../resource.ts"
import type { Column } from "../table.ts"

interface ApiDelayed {
  readonly id: string
  readonly topic: string
  readonly deliverAt: string
  readonly event: { readonly id: string; readonly source: string; readonly type: string }
}

const columns: readonly Column<ApiDelayed>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "topic", value: ({ topic }) => topic },
  { title: "until", value: ({ deliverAt }) => deliverAt },
  { title: "event", value: ({ event }) => event.id },
  { title: "type", value: ({ event }) => event.type },
]

interface ListOptions extends CommonOptions {
  readonly topic?: string
  readonly limit: number
}

/** Adds `event delayed` and `event cancel`. */
export function addDelayed(command: Command, context: Context): void {
  const list = subcommand(command, "delayed", "List events that are kept back until they are due.")
    .option("--topic <topic>", "only those of this topic")
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: ListOptions) => {
      const rows = context.hub(options).items<ApiDelayed>("/v1/delayed", { ...pageOf(options), topic: options.topic })
      const none = () => noMatch(context, options, { topic: options.topic }, "No event is delayed.")
      await printFirst(context, options, rows, columns, none)
    })
  examples(withHub(list), [
    ["redcar event delayed", "All of them, in the order in which they were published"],
    ["redcar event delayed --topic orders --json", "Those of one topic, for programs"],
  ])
  const cancel = subcommand(command, "cancel <id>", "Cancel a delayed event: it is never published.").action(
    async (id: string, options: CommonOptions) => {
      await context.hub(options).json("DELETE", `/v1/delayed/${encodeURIComponent(id)}`)
      await printDone(context, options, { id }, `cancelled ${id}`)
    },
  )
  examples(withHub(cancel), [
    ["redcar event cancel 00000000008", "By its id, which publishing and `redcar event delayed` say"],
    ["redcar event cancel 00000000008 --json", "For programs"],
  ])
}
