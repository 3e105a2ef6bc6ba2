import { setTimeout as wait } from "node:timers/promises"
import type { Command } from "commander"
import { type CommonOptions, type Context, examples, wholeNumber, withHub } from "../command.ts"
import { ProblemError, UnreachableError } from "../failures.ts"
import { type FilterOptions, filtersOf, withFilters } from "../filter-flags.ts"
import type { Hub } from "../hub.ts"
import { splitLines } from "../input.ts"
import { type Place, place, placeHelp, placeText } from "../places.ts"
import { parseServerSent } from "../sse.ts"
import { coloursFor, type Terminal } from "../terminal.ts"
import { type ApiEvent, eventLine } from "./event-line.ts"

interface TailOptions extends CommonOptions, FilterOptions {
  readonly from?: Place
  readonly limit?: number
  readonly follow: boolean
}

export function configure(command: Command, context: Context): void {
  command
    .description("Follow a topic: print its events as they come. Ctrl-C ends it.")
    .argument("<topic>", "a topic, or one key of it: orders, orders:123")
    .option("--from <place>", `where to begin: ${placeHelp} (default: newest)`, place)
    .option("-n, --limit <count>", "stop after so many", wholeNumber(1))
    .option("--no-follow", "stop at the present end of the topic (begins at the oldest event by default)")
  withHub(withFilters(command)).action((topic: string, options: TailOptions) => tail(context, topic, options))
  examples(command, [
    ["redcar tail orders", "What is published from now on"],
    ["redcar tail orders --from 10m --exact type=order.paid", "Payments of the last 10 minutes, and on"],
    ["redcar tail orders --from oldest --no-follow --json > orders.ndjson", "Everything there is, as NDJSON"],
  ])
}

async function tail(context: Context, topic: string, options: TailOptions): Promise<void> {
  const { terminal } = context
  const hub = context.hub(options)
  const stop = terminal.interrupted()
  const filters = filtersOf(options)
  const query = {
    from: placeText(options.from) ?? (options.follow ? "newest" : "oldest"),
    filters: filters === undefined ? undefined : JSON.stringify(filters),
  }
  const path = `/v1/topics/${encodeURIComponent(topic)}`
  const events = options.follow
    ? follow(hub, path, query, stop, terminal)
    : readToEnd(hub, `${path}/events`, query, stop)
  const show = options.json
    ? (json: string) => `${json}\n`
    : (json: string) => eventLine(JSON.parse(json) as ApiEvent, terminal, coloursFor(terminal, "stdout"))
  let printed = 0
  try {
    for await (const json of events) {
      await terminal.out(show(json))
      printed++
      if (printed === options.limit) break
    }
  } catch (error) {
    if (!stop.aborted) throw error
  }
  if (printed === 0 && !options.follow && !options.json && !stop.aborted)
    terminal.err(`${topic} holds no such event.\n`)
}

type Query = Readonly<Record<string, string | undefined>>

/** Events for ever, over as many connections as it takes; each takes up after the last event of the one before. */
async function* follow(
  hub: Hub,
  path: string,
  query: Query,
  stop: AbortSignal,
  terminal: Terminal,
): AsyncIterable<string> {
  let from = query.from === "newest" ? await endOf(hub, path, stop) : query.from
  let lost = 0
  for (let connected = false; !stop.aborted; ) {
    try {
      const response = await hub.send("GET", `${path}/stream`, {
        query: { ...query, from },
        headers: { accept: "text/event-stream" },
        signal: stop,
      })
      if (lost > 0) terminal.err("connected again\n")
      connected = true
      lost = 0
      for await (const { id, data } of parseServerSent(response.body!)) {
        if (id !== "") from = id
        yield data
      }
    } catch (error) {
      if (stop.aborted) return
      // A hub that was never there is an error; one that went away may come back.
      if (!connected || !mayPass(error)) throw error
    }
    lost++
    if (lost === 1) terminal.err("the connection is lost; connecting again …\n")
    await wait(Math.min(250 * 2 ** lost, 10_000), undefined, { signal: stop })
  }
}

/** A broken connection (fetch throws a TypeError for it), a hub that is away, or one that is starting. */
function mayPass(error: unknown): boolean {
  return (
    error instanceof TypeError ||
    error instanceof UnreachableError ||
    (error instanceof ProblemError && error.problem.status === 503)
  )
}

/** The cursor of the topic's present end, so that nothing is missed when the first connection breaks before an event. */
async function endOf(hub: Hub, path: string, signal: AbortSignal): Promise<string> {
  const response = await hub.send("GET", `${path}/events`, { query: { from: "newest", limit: 1 }, signal })
  await response.body?.cancel()
  return response.headers.get("redcar-next-cursor") ?? "newest"
}

/** Events up to the present end. */
async function* readToEnd(hub: Hub, path: string, query: Query, stop: AbortSignal): AsyncIterable<string> {
  const response = await hub.send("GET", path, { query: { ...query, limit: "all", format: "ndjson" }, signal: stop })
  const splitter = splitLines()
  const decoder = new TextDecoder()
  for await (const part of response.body!) {
    for (const { json } of splitter.push(part)) yield decoder.decode(json)
  }
  for (const { json } of splitter.end()) yield decoder.decode(json)
}
