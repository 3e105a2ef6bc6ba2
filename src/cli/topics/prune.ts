import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { UsageError } from "../failures.ts"
import { type FilterOptions, filtersOf, withFilters } from "../filter-flags.ts"
import { confirmed, printDone } from "../output.ts"
import { plural } from "../progress.ts"
import { printable } from "../terminal.ts"
import { type RetentionOptions, retentionOf, withRetention } from "./retention-flags.ts"

interface PruneOptions extends CommonOptions, RetentionOptions, FilterOptions {
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
  readonly held?: Held
  readonly rules?: readonly (Omit<Going, "limits"> & { readonly held?: Held; readonly isWhole: boolean })[]
}

interface Held {
  readonly events: number
  readonly by: string
  readonly id: string
  readonly trigger: string
}

/** Adds `topic prune`. */
export function addPrune(command: Command, context: Context): void {
  const prune = subcommand(command, "prune <id>", "Drop what a topic keeps no longer, or see what that is.")
    .option("--dry-run", "only say what would go; the other flags say another retention to try")
    .option("-y, --yes", "do not ask")
  withFilters(withRetention(prune)).action(async (id: string, options: PruneOptions) => {
    const path = `/v1/topics/${encodeURIComponent(id)}/prune`
    const retention = asked(options)
    if (retention !== undefined && !options.dryRun)
      throw new UsageError("another retention goes with --dry-run alone", ["Set it: redcar topic update"])
    const ask = (json: object) => context.hub(options).json<Pruning>("POST", path, { json })
    const would = await ask({ dryRun: true, retention })
    if (options.dryRun) return printDone(context, options, would, told("would go", goingOf(would), would))
    const events = plural(goingOf(would), "event")
    if (goingOf(would) > 0 && !(await confirmed(context, `Drop ${events} of topic ${id}?`, options)))
      throw new UsageError(`${events} would go; nothing was done`, ["Say yes when asked, or give --yes."])
    const done = await ask({ dryRun: false })
    await printDone(context, options, done, told("went", done.dropped, done))
  })
  examples(withHub(prune), [
    ["redcar topic prune orders --dry-run", "What would the next round of retention drop?"],
    ["redcar topic prune orders --dry-run --retention-age 30d", "What would another retention drop?"],
    [
      "redcar topic prune orders --dry-run --exact type=debug --retention-age 1d",
      "What would go if debug events were kept for a day, and all others for ever?",
    ],
    ["redcar topic prune orders --yes", "Now, and not in the next round"],
  ])
}

/** The flags' retention: with filters, one rule of those events alone. */
function asked(options: PruneOptions): Readonly<Record<string, unknown>> | undefined {
  const [retention, filters] = [retentionOf(options), filtersOf(options)]
  if (filters === undefined) return retention
  const { rules, dropUndelivered, keepDeadLetters, ...limits } = retention ?? {}
  if (rules !== undefined)
    throw new UsageError("filters and --retention-rules say the same in two ways", ["Give one of them."])
  return { rules: [{ filters, ...limits }], dropUndelivered, keepDeadLetters }
}

function goingOf({ goes, rules = [] }: Pruning): number {
  return rules.reduce((sum, { events }) => sum + events, goes.events)
}

function told(verb: string, count: number, { goes, rules = [], ...pruning }: Pruning): string {
  const all = [goes, ...rules].filter(({ events }) => events > 0)
  const bytes = all.reduce((sum, each) => sum + each.bytes, 0)
  const [oldestAt] = all.map((each) => each.oldestAt).sort()
  const newestAt = all
    .map((each) => each.newestAt)
    .sort()
    .at(-1)
  const range = count === 0 ? "" : `, ${bytes} bytes, of ${oldestAt} to ${newestAt}`
  const limits = goes.limits.map(({ limit, events }) => ({ what: limit, events }))
  const by = [...limits, ...rules.map(({ events }, i) => ({ what: `rule ${i + 1}:`, events }))]
    .filter(({ events }) => events > 0)
    .map(({ what, events }) => `${what} ${events}`)
  const why = count === 0 || by.length === 0 ? "" : ` (${by.join(", ")})`
  const held = pruning.held ?? rules.find((rule) => rule.held !== undefined)?.held
  const more = rules.every(({ isWhole }) => isWhole) ? "" : "; not all was looked at: more may"
  const who = held?.by === "trigger" ? `trigger ${held.id}` : `${nouns[held?.by ?? ""]} ${held?.id}`
  const stays = held === undefined ? "" : `; ${plural(held.events, "event")} more stay, the oldest for ${who}`
  return printable(`${plural(count, "event")} ${verb}${range}${why}${stays}${more}`)
}

const nouns: Readonly<Record<string, string>> = { delivery: "delivery", deadLetter: "dead letter", replay: "replay" }
