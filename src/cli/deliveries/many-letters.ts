import type { CommonOptions, Context } from "../command.ts"
import { FailedError, UsageError } from "../failures.ts"
import { confirmed, printDone } from "../output.ts"
import { counted, plural, startProgress } from "../progress.ts"

/** What is done with many dead letters, and how it is told. */
export interface LettersAction {
  /** Of the API. */
  readonly path: string
  /** How many were: the member of the answer. */
  readonly member: "redriven" | "discarded"
  /** `3 dead letters … would be` this. */
  readonly would: string
  /** `3 dead letters` are this. */
  readonly done: string
  question(letters: string): string
}

interface ManyOptions extends CommonOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
}

interface Part {
  readonly matched: number
  readonly redriven?: number
  readonly discarded?: number
  readonly nextPageToken?: string
}

/** In one request: little enough that the bar moves, and that Ctrl-C is soon heeded. */
const limit = 1_000

/** Counts the letters that `asked` means, asks, and does it. Throws UsageError where the answer is not yes. */
export async function doMany(
  context: Context,
  options: ManyOptions,
  action: LettersAction,
  asked: object,
): Promise<void> {
  const { matched } = await goThrough(context, options, action, { ...asked, dryRun: true })
  const letters = plural(matched, "dead letter")
  const none = { matched, [action.member]: 0 }
  if (options.dryRun) return printDone(context, options, none, `${letters} would be ${action.would}`)
  if (matched === 0) return printDone(context, options, none, "no dead letter matches")
  if (!(await confirmed(context, action.question(letters), options))) {
    throw new UsageError(`${letters} would be ${action.would}; nothing was done`, [
      "Say yes when asked, or give --yes.",
    ])
  }
  const all = await goThrough(context, options, action, { ...asked, dryRun: false }, matched)
  const line = `${plural(all.done, "dead letter")} ${action.done}`
  await printDone(context, options, { matched: all.matched, [action.member]: all.done }, line)
}

/** Part by part, with a bar where `total` is known. Ctrl-C ends it between two parts. */
async function goThrough(
  context: Context,
  options: CommonOptions,
  action: LettersAction,
  asked: { readonly dryRun: boolean },
  total?: number,
): Promise<{ readonly matched: number; readonly done: number }> {
  const signal = context.terminal.interrupted()
  const hub = context.hub(options)
  const progress = startProgress(context.terminal, total)
  let [matched, done] = [0, 0]
  let pageToken: string | undefined
  const tell = () => {
    const note = asked.dryRun ? `${plural(matched, "dead letter")} so far` : `${counted(done)} ${action.done}`
    progress.update(matched, note)
  }
  try {
    // Ends: with the letters, of which each part passes some, or by Ctrl-C.
    do {
      if (signal.aborted) throw stopped(action, asked.dryRun, done)
      tell()
      const part = await hub.json<Part>("POST", action.path, { json: { ...asked, limit, pageToken } })
      matched += part.matched
      done += part[action.member] ?? 0
      pageToken = part.nextPageToken
    } while (pageToken !== undefined)
    return { matched, done }
  } finally {
    progress.end()
  }
}

function stopped(action: LettersAction, dryRun: boolean, done: number): FailedError {
  if (dryRun) return new FailedError("stopped while counting; nothing was done")
  return new FailedError(`stopped: ${plural(done, "dead letter")} ${action.done}`, [
    "Run it again to go on with the others.",
  ])
}
