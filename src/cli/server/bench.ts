import { randomUUID } from "node:crypto"
import type { Command } from "commander"
import { type CommonOptions, type Context, examples, size, wholeNumber, withHub } from "../command.ts"
import { FailedError, UnreachableError } from "../failures.ts"
import { findHub } from "../hub.ts"
import { asTyped } from "../invocation.ts"
import { counted, plural, startProgress } from "../progress.ts"
import { coloursFor } from "../terminal.ts"

interface BenchOptions extends CommonOptions {
  readonly topic: string
  readonly events: number
  readonly concurrency: number
  readonly size: number
  readonly batch: number
}

export function configure(command: Command, context: Context): void {
  command
    .description(
      "Load a running hub with publishes, and measure. Every event counts once it is on disk. The topic is left as it is.",
    )
    .option("--topic <topic>", "where to publish", "bench")
    .option("--events <count>", "how many events", wholeNumber(1, 100_000_000), 20_000)
    .option("--concurrency <count>", "requests in flight", wholeNumber(1, 4_096), 64)
    .option("--size <size>", "bytes of one event", size, 300)
    .option("--batch <count>", "events a request", wholeNumber(1, 10_000), 1)
    .action((options: BenchOptions) => bench(context, options))
  examples(withHub(command), [
    ["redcar bench", "20,000 events, one a request, 64 at once"],
    ["redcar bench --events 1000000 --batch 100 --concurrency 16", "In batches"],
    ["redcar bench --size 4KiB --json", "Larger events; the figures as JSON"],
  ])
}

/** What was measured. Times are milliseconds, of one request each. */
interface Figures {
  readonly events: number
  readonly seconds: number
  readonly eventsPerSecond: number
  readonly requests: number
  readonly refused: number
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number }
}

async function bench(context: Context, options: BenchOptions): Promise<void> {
  const { terminal } = context
  // Says what stands in the way before any load.
  await context.hub(options).json("GET", "/v1/status")
  const progress = startProgress(terminal, options.events)
  const startedAt = performance.now()
  const run = await load(context, options, terminal.interrupted(), (done) =>
    progress.update(done, `${counted((done / (performance.now() - startedAt)) * 1_000)} events a second`),
  ).finally(() => progress.end())
  const figures = figuresOf(run, options.batch, (performance.now() - startedAt) / 1_000)
  if (options.json) await terminal.out(`${JSON.stringify(figures, null, 2)}\n`)
  else await terminal.out(report(context, options, figures))
  if (figures.refused > 0) {
    throw new FailedError(`${plural(figures.refused, "request")} refused, the first one with: ${run.firstRefusal}`, [
      "Look: redcar doctor",
    ])
  }
}

interface Run {
  readonly latencies: Float64Array
  requests: number
  refused: number
  firstRefusal: string
}

/** undici's own request costs a tenth of fetch, and this measures the hub, not the client. */
async function load(
  context: Context,
  options: BenchOptions,
  stop: AbortSignal,
  tell: (done: number) => void,
): Promise<Run> {
  const { Pool, errors } = await import("undici")
  const address = findHub(options, context.terminal.env)
  const url = new URL(address.url)
  const pool = new Pool(url.origin, { connections: options.concurrency, pipelining: 1 })
  const requests = Math.ceil(options.events / options.batch)
  const run: Run = { latencies: new Float64Array(requests), requests: 0, refused: 0, firstRefusal: "" }
  const path = `${url.pathname === "/" ? "" : url.pathname}/v1/topics/${encodeURIComponent(options.topic)}/events`
  const headers = {
    "content-type": options.batch === 1 ? "application/cloudevents+json" : "application/x-ndjson",
    ...(address.key === undefined ? {} : { authorization: `Bearer ${address.key}` }),
  }
  const body = bodies(options)
  let begun = 0
  const worker = async () => {
    while (begun < requests && !stop.aborted) {
      begun++
      const at = performance.now()
      const response = await pool.request({ method: "POST", path, headers, body: body() })
      const text = await response.body.text()
      run.latencies[run.requests++] = performance.now() - at
      if (response.statusCode !== 202) {
        run.refused++
        if (run.firstRefusal === "") run.firstRefusal = `${response.statusCode} ${text.slice(0, 300)}`
      }
      tell(run.requests * options.batch)
    }
  }
  try {
    await Promise.all(Array.from({ length: options.concurrency }, worker))
  } catch (error) {
    if (error instanceof errors.UndiciError || error instanceof Error) {
      throw new UnreachableError(`the hub at ${address.url} went away: ${error.message}`, ["Look at its log."], {
        cause: error,
      })
    }
    throw error
  } finally {
    await pool.destroy()
  }
  return run
}

/** Makes request bodies. Ids are unique over runs, so that nothing is taken for a duplicate. */
function bodies({ size: bytes, batch }: BenchOptions): () => string {
  const prefix = randomUUID()
  const event = (id: string, padding: string) =>
    `{"specversion":"1.0","id":"${id}","source":"/redcar/bench","type":"redcar.bench","datacontenttype":"application/json","data":"${padding}"}`
  const empty = event(`${prefix}-00000000`, "").length
  const padding = "x".repeat(Math.max(0, bytes - empty))
  let made = 0
  const next = () => event(`${prefix}-${String(made++).padStart(8, "0")}`, padding)
  return () => (batch === 1 ? next() : Array.from({ length: batch }, next).join("\n"))
}

function figuresOf(run: Run, batch: number, seconds: number): Figures {
  const sorted = run.latencies.slice(0, run.requests).sort()
  const at = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 100) / 100
  const events = (run.requests - run.refused) * batch
  return {
    events,
    seconds: Math.round(seconds * 1_000) / 1_000,
    eventsPerSecond: Math.round(events / seconds),
    requests: run.requests,
    refused: run.refused,
    latencyMs: { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
  }
}

function report(context: Context, options: BenchOptions, figures: Figures): string {
  const colours = coloursFor(context.terminal, "stdout")
  const { p50, p90, p99, max } = figures.latencyMs
  const each = options.batch === 1 ? "one a request" : `${options.batch} a request`
  return [
    `${colours.bold(`${counted(figures.eventsPerSecond)} events a second`)}  (${plural(figures.events, "event")} of ${options.size} B in ${figures.seconds} s)`,
    `${each}, ${options.concurrency} requests at once, each answered when it is on disk`,
    `request: p50 ${p50} ms   p90 ${p90} ms   p99 ${p99} ms   max ${max} ms`,
    asTyped(
      `The events are on topic ${options.topic}; to drop them: redcar topic delete ${options.topic}`,
      context.terminal.program,
    ),
    "",
  ].join("\n")
}
