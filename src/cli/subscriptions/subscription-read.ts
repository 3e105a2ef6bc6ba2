import { setTimeout as wait } from "node:timers/promises"
import type { CommonOptions, Context } from "../command.ts"
import { type ApiEvent, eventLine } from "../events/event-line.ts"
import { mayPass, UsageError } from "../failures.ts"
import type { Hub } from "../hub.ts"
import { asTyped } from "../invocation.ts"
import type { Place } from "../places.ts"
import { coloursFor, type Terminal } from "../terminal.ts"

/** Where a subscription stands. */
export interface ApiPosition {
  readonly cursor: string
  readonly epoch: number
  readonly movedAt?: string
}

/** The flags of reading. */
export interface ReadOptions extends CommonOptions {
  readonly from?: Place
  readonly limit?: number
  readonly follow?: boolean
  readonly commit?: boolean
}

interface ApiPage {
  readonly items: readonly ApiEvent[]
  readonly next: string
  readonly more: boolean
  readonly position: ApiPosition
  readonly missed?: { readonly after: string; readonly until: string }
}

/** Events asked for at a time. */
const pageEvents = 100
const [waitFor, timeoutMs, restMs] = ["20s", 90_000, 2_000]

/** What reading is about. */
interface Reading {
  readonly hub: Hub
  readonly path: string
  readonly options: ReadOptions
  readonly terminal: Terminal
  /** Ctrl-C. */
  readonly stop: AbortSignal
}

/** Prints what is after the position, page by page, and commits each where that is wanted. */
export async function readOn(context: Context, path: string, id: string, options: ReadOptions): Promise<void> {
  const { terminal } = context
  const reading: Reading = { hub: context.hub(options), path, options, terminal, stop: terminal.interrupted() }
  let from = cursorOf(options.from)
  let left = options.limit ?? Number.MAX_SAFE_INTEGER
  let page: ApiPage | undefined
  do {
    page = await nextPage(reading, from, Math.min(left, pageEvents))
    if (page === undefined) return
    left -= page.items.length
    from = page.next
    if (options.commit) await commit(reading, page)
  } while (!reading.stop.aborted && left > 0 && (page.more || options.follow))
  if (options.commit || options.json || from === page.position.cursor) return
  terminal.err(`${asTyped(`When that is dealt with: redcar subscription commit ${id} ${from}`, terminal.program)}\n`)
}

function cursorOf(place: Place | undefined): string | undefined {
  if (place === undefined || place.kind === "cursor") return place?.cursor
  throw new UsageError("--from takes a cursor here", ["To go elsewhere: redcar subscription reset <id> --to <place>"])
}

/** A page, printed. Undefined: it was interrupted. */
async function nextPage(reading: Reading, from: string | undefined, limit: number): Promise<ApiPage | undefined> {
  const { hub, path, options, terminal, stop } = reading
  const query = { from, limit, ...(options.follow && { waitFor }) }
  const text = await heard(reading, async () => {
    const answer = await hub.send("GET", `${path}/events`, { query, timeoutMs, signal: stop })
    return answer.text()
  })
  if (text === undefined) return undefined
  const page = JSON.parse(text) as ApiPage
  if (page.missed !== undefined) {
    const { after, until } = page.missed
    terminal.err(`missed: retention has dropped events after ${after} up to ${until}, which were not read\n`)
  }
  if (options.json) await terminal.out(`${text}\n`)
  else for (const event of page.items) await terminal.out(eventLine(event, terminal, coloursFor(terminal, "stdout")))
  return page
}

/** Throws ProblemError where somebody else has moved it meanwhile. */
async function commit(reading: Reading, { next, position: { cursor, epoch } }: ApiPage): Promise<void> {
  if (next === cursor) return
  const { hub, path } = reading
  const json = { cursor: next, expected: { cursor, epoch } }
  await heard(reading, () => hub.json("POST", `${path}/commit`, { json }))
}

/** What `ask` resolves to; undefined: it was interrupted. A hub that is away for a while is asked again where it is followed. */
async function heard<Result>(
  { options, terminal, stop }: Reading,
  ask: () => Promise<Result>,
): Promise<Result | undefined> {
  // Ends: with an answer, an error that stays, or Ctrl-C.
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (stop.aborted) return undefined
      if (!options.follow || !mayPass(error)) throw error
      terminal.err(`${(error as Error).message}; asking again\n`)
      await wait(restMs, undefined, { signal: stop }).catch(() => undefined)
    }
  }
}
