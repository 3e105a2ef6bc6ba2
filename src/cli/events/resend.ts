import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { asTyped } from "../invocation.ts"
import { printDone } from "../output.ts"

/** Adds `redcar event resend`. */
export function addResend(command: Command, context: Context): void {
  const resend = subcommand(command, "resend <cursor>", "Deliver an event that was delivered once more.")
    .requiredOption("--trigger <id>", "the trigger that it was delivered for")
    .action(async (cursor: string, options: CommonOptions & { readonly trigger: string }) => {
      const { trigger } = options
      const path = `/v1/events/${encodeURIComponent(cursor)}/deliveries/${encodeURIComponent(trigger)}/resend`
      const hub = context.hub(options)
      const answer = await hub.json<{ readonly destination: string }>("POST", path)
      const { paused } = await hub.json<{ readonly paused: boolean }>(
        "GET",
        `/v1/triggers/${encodeURIComponent(trigger)}`,
      )
      const line = paused
        ? `the event at ${cursor} is held for ${answer.destination} until its trigger goes on: redcar trigger resume ${trigger}`
        : `the event at ${cursor} is on the way to ${answer.destination} again`
      await printDone(context, options, answer, asTyped(line, context.terminal.program))
    })
  examples(withHub(resend), [
    ["redcar event resend 00000000008 --trigger paid", "The same message, once more"],
    ["redcar event resend 00000000008 --trigger paid --json", "For programs"],
  ])
}
