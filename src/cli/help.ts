import type { Command } from "commander"
import { type Context, examples } from "./command.ts"
import { exitCodeMeanings, exitCodes, UsageError } from "./failures.ts"

const subjects: Readonly<Record<string, () => Promise<string>>> = {
  "exit-codes": async () => exitCodesPage(),
  settings: async () => (await import("../config/docs.ts")).settingsPage(),
}

export function configure(command: Command, context: Context): void {
  command
    .description("Show help on a command (`redcar help topic create`) or a subject: settings, exit-codes.")
    .argument("[subject...]", "a command, or settings, or exit-codes")
    .action((subject: readonly string[]) => help(subject, context))
  examples(command, [
    ["redcar help publish", "Help on a command"],
    ["redcar help exit-codes", "What the shell is told"],
    ["redcar help settings", "Every setting of redcar serve, in Markdown"],
  ])
}

async function help(subject: readonly string[], context: Context): Promise<void> {
  const [first] = subject
  const page = first === undefined ? undefined : subjects[first]
  if (page !== undefined) return context.terminal.out(await page())
  const program = await context.program(subject)
  let command: Command = program
  for (const name of subject) {
    const child: Command | undefined = command.commands.find((each) => each.name() === name)
    if (child === undefined) {
      const known = [...program.commands.map((each) => each.name()), ...Object.keys(subjects)]
      throw new UsageError(`there is no help on ${subject.join(" ")}`, [`There is help on: ${known.join(", ")}`])
    }
    command = child
  }
  command.outputHelp()
}

/** The table of `redcar help exit-codes`. */
function exitCodesPage(): string {
  const names = Object.keys(exitCodes) as (keyof typeof exitCodes)[]
  return names.map((name) => `${exitCodes[name]}  ${exitCodeMeanings[name]}\n`).join("")
}
