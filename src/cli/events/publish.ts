import { createReadStream, statSync } from "node:fs"
import { type Command, Option } from "commander"
import { type CommonOptions, type Context, durationText, examples, pairs, wholeNumber, withHub } from "../command.ts"
import { exitCodes, ToldError, UsageError } from "../failures.ts"
import { nearTopic } from "../hub.ts"
import {
  type BulkFormat,
  type Piece,
  type Splitter,
  sniff,
  splitJson,
  splitLines,
  withoutByteOrderMark,
} from "../input.ts"
import { printDone } from "../output.ts"
import { counted, plural, startProgress } from "../progress.ts"
import { coloursFor, printable, type Terminal } from "../terminal.ts"
import { composeEvent, defaultSource, type EventOptions, wrapLine } from "./compose.ts"
import { Uploader } from "./upload.ts"

interface PublishOptions extends CommonOptions, EventOptions {
  readonly file?: string
  readonly format: "auto" | BulkFormat | "raw"
  readonly skip: number
  readonly expectedLast?: string
}

export function configure(command: Command, context: Context): void {
  command
    .description("Publish events to a topic. They are on disk when this ends.")
    .argument("<topic>", "a topic, or one key of it: orders, orders:123")
    .argument("[data]", "the data of one event, or `-` to read events from standard input, which is not read otherwise")
    .optionsGroup("One event, or events made around each JSON value of a file:")
    .option("--type <type>", "what happened: order.created. Without it, the topic says how raw data becomes an event")
    .option("--source <uri>", `where it happened (default: ${defaultSource})`)
    .option("--id <id>", "its id (default: a random one)")
    .option("--subject <text>", "what it happened to")
    .option("--time <time>", "when it happened (RFC 3339)")
    .option("--content-type <type>", "what its data is (default: found out)")
    .option("--dataschema <uri>", "the schema of its data")
    .option("--deliver-at <time>", "keep it back until then (RFC 3339)")
    .option("--delay <duration>", "keep it back for so long: 10m, 36h, 7d", durationText)
    .addOption(pairs("--extension <name=value>", "another attribute (repeatable)"))
    .option("--expected-last <cursor>", "publish only if this is the topic's last event (`none`: if it has none)")
    .optionsGroup("Many events:")
    .option("-f, --file <path>", "publish the events of a file (`-`: standard input)")
    .addOption(formatOption())
    .option("--skip <count>", "leave out the first events, to go on where an upload stopped", wholeNumber(0), 0)
    .action((topic: string, data: string | undefined, options: PublishOptions) =>
      publish(context, topic, data, options),
    )
  examples(withHub(command), [
    [`redcar publish orders '{"id": 4711}' --type order.created --source /shop`, "One event"],
    ["redcar publish orders:4711 --type order.reminder --delay 36h", "One without data, on a key, that is kept back"],
    ["redcar publish orders --file events.ndjson", "A file: NDJSON, or a JSON array of events"],
    ["cat readings.ndjson | redcar publish sensors - --type sensor.reading", "Each line becomes the data of an event"],
    ["redcar publish scans --file scan.pdf --format raw --content-type application/pdf", "A file as it is"],
  ])
}

function formatOption(): Option {
  const help = "how the file is written: ndjson, json (an array), raw (all of it is one event's data), or auto"
  return new Option("--format <format>", help).choices(["auto", "ndjson", "json", "raw"]).default("auto")
}

async function publish(
  context: Context,
  topic: string,
  data: string | undefined,
  options: PublishOptions,
): Promise<void> {
  if (data !== undefined && data !== "-" && options.file !== undefined) {
    throw new UsageError("data and --file at once", ["Give one of the two."])
  }
  const path = options.file ?? (data === "-" ? "-" : undefined)
  if (path === undefined) return publishOne(context, topic, options, data === undefined ? undefined : Buffer.from(data))
  if (options.format !== "raw") return publishMany(context, topic, path, options)
  const parts: Uint8Array[] = []
  for await (const part of open(context.terminal, path)) parts.push(part)
  return publishOne(context, topic, options, Buffer.concat(parts))
}

interface Published {
  readonly id: string
  readonly cursor?: string
  readonly delayed?: { readonly id: string; readonly until: string }
  readonly duplicate?: boolean
}

async function publishOne(
  context: Context,
  topic: string,
  options: PublishOptions,
  data: Uint8Array | undefined,
): Promise<void> {
  const { contentType, body } = composeEvent(options, data)
  const hub = context.hub(options)
  const slip = await nearTopic(hub, topic)
  const answer = await hub.json<Published>("POST", `/v1/topics/${encodeURIComponent(topic)}/events`, {
    body,
    headers: {
      "content-type": contentType,
      ...(options.expectedLast === undefined ? {} : { "redcar-expected-last": options.expectedLast }),
    },
  })
  await printDone(context, options, answer, printable(lineOf(answer)))
  // Whoever has it from a script or a loop means nothing by it: it is not read unasked, and what never ends keeps nobody waiting.
  if (data === undefined && !options.json && context.terminal.stdinIsPiped?.())
    context.terminal.err("Its data is empty: standard input was not read. `-` for the data reads events from there.\n")
  if (slip !== undefined) context.terminal.err(slip)
}

function lineOf({ id, cursor, delayed, duplicate }: Published): string {
  const place = delayed ? `until ${delayed.until}; to cancel it: redcar event cancel ${delayed.id}` : `at ${cursor}`
  if (duplicate) return `was there already: ${id} ${delayed ? "waits " : ""}${place}`
  return `${delayed ? "delayed" : "stored"} ${id} ${place}`
}

async function publishMany(context: Context, topic: string, path: string, options: PublishOptions): Promise<void> {
  if (options.expectedLast !== undefined)
    throw new UsageError("--expected-last is for one event", ["Publish the events one by one."])
  const { terminal } = context
  const total = path === "-" ? undefined : sizeOf(path)
  const progress = startProgress(terminal, total)
  const hub = context.hub(options)
  const slip = await nearTopic(hub, topic)
  if (slip !== undefined) terminal.err(slip)
  const uploader = new Uploader(hub, topic, terminal.interrupted())
  const startedAt = performance.now()
  const { tally } = uploader
  try {
    for await (const { pieces, bytes } of read(terminal, path, options)) {
      const wanted = pieces.slice(Math.max(0, Math.min(pieces.length, options.skip - tally.taken)))
      tally.taken += pieces.length - wanted.length
      await uploader.upload(
        options.type === undefined
          ? wanted
          : wanted.map((piece) => ({ ...piece, json: wrapLine(options, piece.json) })),
      )
      const perSecond = (tally.stored + tally.duplicates) / ((performance.now() - startedAt) / 1_000)
      progress.update(bytes, `${plural(tally.stored, "event")} stored, ${counted(perSecond)} a second`)
    }
  } finally {
    progress.end()
  }
  await summarise(context, options, uploader)
}

async function summarise(context: Context, options: PublishOptions, { tally }: Uploader): Promise<void> {
  const { terminal } = context
  const { stored, duplicates, refused, refusals } = tally
  const colours = coloursFor(terminal, "stderr")
  if (!options.json) {
    const place = options.format === "json" ? "event" : "line"
    for (const refusal of refusals) {
      const which = refusal.id === undefined ? "" : ` (${printable(refusal.id)})`
      terminal.err(`${colours.red(`${place} ${refusal.place}`)}${which}: ${printable(refusal.detail)}\n`)
    }
    if (refused > refusals.length) terminal.err(`and ${counted(refused - refusals.length)} more\n`)
  }
  const parts = [
    `stored ${plural(stored, "event")}`,
    ...(duplicates > 0 ? [`${counted(duplicates)} there already`] : []),
    ...(refused > 0 ? [`${counted(refused)} refused`] : []),
  ]
  await printDone(context, options, { stored, duplicates, refused, refusals }, parts.join(", "))
  if (refused > 0) throw new ToldError(exitCodes.failed)
}

interface Part {
  readonly pieces: readonly Piece[]
  /** Of the input, so far. */
  readonly bytes: number
}

async function* read(terminal: Terminal, path: string, options: PublishOptions): AsyncIterable<Part> {
  let splitter: Splitter | undefined
  let bytes = 0
  for await (const part of open(terminal, path)) {
    const start = splitter === undefined ? withoutByteOrderMark(part) : part
    splitter ??= splitterFor(options, start, path)
    bytes += part.length
    yield { pieces: [...splitter.push(start)], bytes }
  }
  if (splitter === undefined)
    throw new UsageError(`${path === "-" ? "standard input" : path} is empty`, ["There is nothing to publish."])
  yield { pieces: splitter.end(), bytes }
}

function splitterFor(options: PublishOptions, start: Uint8Array, path: string): Splitter {
  const format =
    options.format === "auto"
      ? path.endsWith(".ndjson") || path.endsWith(".jsonl")
        ? "ndjson"
        : sniff(start)
      : options.format
  if (format === undefined) {
    throw new UsageError(`${path === "-" ? "standard input" : path} is neither NDJSON nor JSON`, [
      "To publish all of it as one event's data: --format raw --content-type <type>",
    ])
  }
  return format === "ndjson" ? splitLines() : splitJson()
}

function open(terminal: Terminal, path: string): AsyncIterable<Uint8Array> {
  if (path === "-") return terminal.stdin
  sizeOf(path)
  return createReadStream(path, { highWaterMark: 2 ** 20 })
}

function sizeOf(path: string): number {
  try {
    const stat = statSync(path)
    if (stat.isDirectory()) throw new UsageError(`${path} is a directory`, ["Name a file."])
    return stat.size
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, ["Check the path."], {
      cause: error,
    })
  }
}
