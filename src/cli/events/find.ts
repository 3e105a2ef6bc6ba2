import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { FailedError, NotThereError, UsageError } from "../failures.ts"
import { ago, printOne } from "../output.ts"
import { plural, startProgress } from "../progress.ts"
import { printable } from "../terminal.ts"

interface FindOptions extends CommonOptions {
  readonly topic?: string
  readonly source?: string
}

interface ApiFound {
  readonly cursor: string
  readonly source: string
  readonly topic: string
  readonly storedAt: string
}

interface ApiFoundPage {
  readonly items: readonly ApiFound[]
  readonly searched: { readonly events: number; readonly since?: string }
  readonly nextPageToken?: string
}

/** Others with the same id that are named at most. */
const othersMax = 10

/** Adds `redcar event find`. */
export function addFind(command: Command, context: Context): void {
  const find = subcommand(command, "find <id>", "Find an event by its id, on whatever topic: the newest, in full.")
    .option("--topic <topic>", "only on this topic, or on one key of it")
    .option("--source <uri>", "its source: then an index tells at once")
    .allowExcessArguments()
    .action(async (id: string, options: FindOptions, self: Command) => {
      const [, second] = self.args
      if (second !== undefined) {
        const next = `Name the topic by its flag: redcar event find ${second} --topic ${id}`
        throw new UsageError("an event is found by its id alone", [next])
      }
      await findNewest(context, id, options)
    })
  examples(withHub(find), [
    ["redcar event find 4711", "The newest of this id; the log is read back until it is found"],
    ["redcar event find 4711 --topic orders --source /shop", "Where more of it is known"],
    ["redcar event find 4711 --json", "As a structured CloudEvent"],
  ])
}

async function findNewest(context: Context, id: string, options: FindOptions): Promise<void> {
  const { terminal } = context
  const [newest, ...others] = await search(context, id, options)
  const hub = context.hub(options)
  const event = await hub.json("GET", `/v1/events/${encodeURIComponent(newest!.cursor)}`)
  await printOne(context, options, event)
  terminal.err(`It is on ${printable(newest!.topic)} at ${newest!.cursor}.\n`)
  if (others.length === 0) return
  terminal.err("Older ones have the same id:\n")
  for (const { cursor, topic, source, storedAt } of others.slice(0, othersMax))
    terminal.err(`  ${cursor} on ${printable(`${topic} of ${source}`)}, ${ago(storedAt, Date.now())} ago\n`)
  if (others.length > othersMax) terminal.err(`  and ${others.length - othersMax} more\n`)
}

/** Looks back until something is found. Throws FailedError where nothing is, or at Ctrl-C, and says how far it looked. */
async function search(context: Context, id: string, { topic, source, ...options }: FindOptions) {
  const { terminal } = context
  const hub = context.hub(options)
  const signal = terminal.interrupted()
  const progress = startProgress(terminal, undefined)
  let looked = 0
  let since: string | undefined
  let pageToken: string | undefined
  try {
    // Ends: with the log, of which each answer has looked at some, or by Ctrl-C.
    do {
      const query = { id, topic, source, pageToken }
      const page: ApiFoundPage = await hub.json<ApiFoundPage>("GET", "/v1/events", { query, signal })
      if (page.items.length > 0) return page.items
      looked += page.searched.events
      since = page.searched.since ?? since
      pageToken = page.nextPageToken
      progress.update(looked, `${plural(looked, "event")} looked at${since === undefined ? "" : `, back to ${since}`}`)
    } while (pageToken !== undefined)
  } catch (error) {
    if (!signal.aborted) throw error
    const back = since === undefined ? "" : `, back to ${since}`
    throw new FailedError(`stopped: ${plural(looked, "event")} looked at${back}, none with this id`)
  } finally {
    progress.end()
  }
  const where = topic === undefined ? "" : ` on ${topic}`
  const of = source === undefined ? "" : ` of ${source}`
  throw new NotThereError(`no event${where} has the id ${JSON.stringify(id)}${of}, or retention has dropped it`)
}
