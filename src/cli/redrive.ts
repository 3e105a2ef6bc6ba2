import type { CommonOptions, Context } from "./command.ts"
import { FailedError } from "./failures.ts"
import { counted, plural, startProgress } from "./progress.ts"

/** What of the dead letters was done, or would be. */
export interface Redriven {
  readonly matched: number
  readonly redriven: number
}

interface Asked {
  readonly trigger?: string
  readonly destination?: string
  readonly reason?: string
  readonly dryRun: boolean
}

/** In one request: little enough that the bar moves, and that Ctrl-C is soon heeded. */
const limit = 1_000

/** Redrives, or counts, all that match, part by part, with a bar where `total` is known. Ctrl-C ends it between two parts. */
export async function redriveAll(
  context: Context,
  options: CommonOptions,
  asked: object & Partial<Asked>,
  total: number | undefined,
): Promise<Redriven> {
  const signal = context.terminal.interrupted()
  const hub = context.hub(options)
  const progress = startProgress(context.terminal, total)
  let [matched, redriven] = [0, 0]
  let pageToken: string | undefined
  const tell = () => {
    const done = asked.dryRun ? `${plural(matched, "dead letter")} so far` : `${counted(redriven)} on the way again`
    progress.update(matched, done)
  }
  try {
    // Ends: with the letters, of which each part passes some, or by Ctrl-C.
    do {
      if (signal.aborted) throw stopped(asked.dryRun, redriven)
      tell()
      const json = { ...asked, limit, pageToken }
      const part = await hub.json<Redriven & { readonly nextPageToken?: string }>("POST", "/v1/dead-letters/redrive", {
        json,
      })
      matched += part.matched
      redriven += part.redriven
      pageToken = part.nextPageToken
    } while (pageToken !== undefined)
    return { matched, redriven }
  } finally {
    progress.end()
  }
}

function stopped(dryRun = false, redriven: number): FailedError {
  if (dryRun) return new FailedError("stopped while counting; nothing was done")
  return new FailedError(`stopped: ${plural(redriven, "dead letter")} on the way again`, [
    "Run it again to go on with the others.",
  ])
}
