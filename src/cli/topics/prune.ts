import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { confirmed, printDone } from "../output.ts"
import { plural } from "../progress.ts"
import { printable } from "../terminal.ts"
import { type RetentionOptions, retentionOf, withRetention } from "./retention-flags.ts"

interface PruneOptions extends CommonOptions, RetentionOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
}

interface Going {
  readonly events: number
  readonly bytes: number
  readonly oldestAt?: string
  readonly newestAt?: string
  readonly limits: readonly { readonly limit: string; readonly events: number }[]
}

interface Pruning {
  readonly dropped: number
  readonly goes: Going
  readonly held?: { readonly events: number; readonly by: string; readonly id: string; readonly trigger: string }
}

/** Adds `topic prune`. */
export function addPrune(command: Command, context: Context): void {
  const prune = subcommand(command, "prune <id>", "Drop what a topic keeps no longer, or see what that is.")
    .option("--dry-run", "only say what would go; the other flags say another retention to try")
    .option("-y, --yes", "do not ask")
  withRetention(prune).action(async (id: string, options: PruneOptions) => {
    const path = `/v1/topics/${encodeURIComponent(id)}/prune`
    const retention = retentionOf(options)
    if (retention !== undefined && !options.dryRun)
      throw new UsageError("another retention goes with --dry-run alone", ["Set it: redcar topic update"])
    const ask = (json: object) => context.hub(options).json<Pruning>("POST", path, { json })
    const would = await ask({ dryRun: true, retention })
    if (options.dryRun) return printDone(context, options, would, told("would go", would.goes.events, would))
    const events = plural(would.goes.events, "event")
    if (would.goes.events > 0 && !(await confirmed(context, `Drop ${events} of topic ${id}?`, options)))
      throw new UsageError(`${events} would go; nothing was done`, ["Say yes when asked, or give --yes."])
    const done = await ask({ dryRun: false })
    await printDone(context, options, done, told("went", done.dropped, done))
  })
  examples(withHub(prune), [
    ["redcar topic prune orders --dry-run", "What would the next round of retention drop?"],
    ["redcar topic prune orders --dry-run --retention-age 30d", "What would another retention drop?"],
    ["redcar topic prune orders --yes", "Now, and not in the next round"],
  ])
}

function told(verb: string, count: number, { goes, held }: Pruning): string {
  const { bytes, oldestAt, newestAt, limits } = goes
  const range = count === 0 ? "" : `, ${bytes} bytes, of ${oldestAt} to ${newestAt}`
  const by = limits.filter(({ events }) => events > 0).map(({ limit, events }) => `${limit} ${events}`)
  const why = count === 0 || by.length === 0 ? "" : ` (${by.join(", ")})`
  const who = held?.by === "trigger" ? `trigger ${held.id}` : `${nouns[held?.by ?? ""]} ${held?.id}`
  const stays = held === undefined ? "" : `; ${plural(held.events, "event")} more stay, the oldest for ${who}`
  return printable(`${plural(count, "event")} ${verb}${range}${why}${stays}`)
}

const nouns: Readonly<Record<string, string>> = { delivery: "delivery", deadLetter: "dead letter", replay: "replay" }
