import type { Command } from "commander"
import { type CommonOptions, type Context, examples, withHub } from "./command.ts"
import { printOne } from "./output.ts"

export function configure(command: Command, context: Context): void {
  command
    .description("Show a hub's version, its health and its figures.")
    .action(async (options: CommonOptions) =>
      printOne(context, options, await context.hub(options).json("GET", "/v1/status")),
    )
  examples(withHub(command), [
    ["redcar status", "The hub on this machine"],
    ["redcar status --url https://hub.example.com --key rck_example --json", "Another one, for programs"],
  ])
}
