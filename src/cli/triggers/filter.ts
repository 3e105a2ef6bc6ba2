import { createReadStream } from "node:fs"
import type { Command } from "commander"
import { evaluateLine } from "../../filters/index.ts"
import { type Context, examples, subcommand } from "../command.ts"
import { UsageError } from "../failures.ts"
import { type Piece, splitLines } from "../input.ts"

export function configure(command: Command, context: Context): void {
  command
    .description(`Filters: which events are meant. They are in triggers, tails and reads, as flags or as JSON.`)
    .addHelpText("after", languages)
  const run = subcommand(
    command,
    "eval [file]",
    "Evaluate filters on events, line by line; no hub is needed. Reads NDJSON, from standard input where no file is named.",
  ).action((file: string | undefined) => evaluate(context, file))
  run.addHelpText("after", shape)
  examples(run, [
    [`echo '{"filter": {"sql": "type = 1"}, "event": {"type": "1"}}' | redcar filter eval`, "One line"],
    ["redcar filter eval cases.ndjson > answers.ndjson", "A file of them"],
  ])
}

const languages = `
Languages:
  exact, prefix, suffix   an attribute is, begins or ends with a text   --exact type=order.paid
  path                    Eventarc path patterns of an attribute        --path 'subject=/customers/*/**'
  sql                     CloudEvents SQL 1.0, and JSON data            --sql "type = 'a' AND data.total > 10"
  query                   one plain line                                --query "type == 'a' and data.tags contains 'b'"
  pattern                 EventBridge event patterns                    --pattern '{"data": {"total": [{"numeric": [">", 10]}]}}'
  all, any, not           filters combined                              --filter '{"any": [{"exact": {"type": "a"}}, …]}'

Why did it not fire? redcar trigger explain. The reference: docs/filters.md.`

const shape = `
A line is {"filter": {…one dialect…}, "event": {…a CloudEvent…}}. For each one line is answered, in the same order:
  {"pass": true, "value": …, "errors": [{"kind", "message", "line", "column"}]}
kind is parse, math, cast, missingFunction, functionEvaluation, missingAttribute or generic.`

/** Lines go out as their input comes in. A line that is empty is answered too, so that answers and lines can be told apart. */
async function evaluate({ terminal }: Context, file: string | undefined): Promise<void> {
  const splitter = splitLines()
  const decoder = new TextDecoder()
  let answered = 0
  const answer = async (pieces: Iterable<Piece>) => {
    const lines: string[] = []
    try {
      for (const { json, place } of pieces) {
        for (answered++; answered < place; answered++) lines.push(evaluateLine(""))
        lines.push(evaluateLine(decoder.decode(json)))
      }
    } finally {
      // Whatever ends the input, what came before it is answered.
      if (lines.length > 0) await terminal.out(`${lines.join("\n")}\n`)
    }
  }
  try {
    for await (const part of file === undefined || file === "-" ? terminal.stdin : createReadStream(file)) {
      await answer(splitter.push(part as Uint8Array))
    }
    await answer(splitter.end())
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (syscall === undefined) throw error
    throw new UsageError(`${file} cannot be read (${code})`, ["Check the path."], { cause: error })
  }
}
