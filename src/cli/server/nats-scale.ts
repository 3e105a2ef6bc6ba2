import type { Command } from "commander"
import { loadSettings } from "../../config/load.ts"
import { natsServers } from "../../config/relations.ts"
import { type Settings, settingsList } from "../../config/schema.ts"
import { readValue } from "../../config/value.ts"
import type { Difference } from "../../engines/jetstream/streams.ts"
import { type Context, examples, subcommand } from "../command.ts"
import { UsageError } from "../failures.ts"
import { confirmed } from "../output.ts"
import { plural, startProgress } from "../progress.ts"
import { table } from "../table.ts"
import { coloursFor } from "../terminal.ts"
import { faulty, flagsOf, loggerOf, optionOf, readIfThere } from "./serve.ts"

interface ScaleOptions {
  readonly natsReplicas?: string
  readonly natsDedupeWindow?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

/** What of the settings it takes: where the hub's streams are. */
const placeSettings = ["engine", "nats.prefix", "nats.credentials", "nats.ca"]
const settledMsMax = 60_000

export function configureScale(parent: Command, context: Context): void {
  const scale = subcommand(
    parent,
    "scale",
    "Change on purpose how NATS keeps what a hub has: how many servers hold each stream, and for how long repeated events " +
      "are recognised. Shows first what would be changed. All of the hub's processes have to be stopped.",
  )
    .option("--nats-replicas <count>", "servers that are to hold each stream: 1, 3 or 5 (default: as many as now)")
    .option("--nats-dedupe-window <duration>", "the longest dedupe window a topic can have (default: as now)")
    .option("--dry-run", "show what would be changed, and change nothing")
    .option("-y, --yes", "do not ask")
    .option("--json", "print JSON, for programs")
    .option("--config <file>", "a file of settings, as for redcar serve")
  for (const setting of settingsList) if (placeSettings.includes(setting.name)) scale.addOption(optionOf(setting))
  scale.action((options: ScaleOptions, self: Command) => run(context, options, flagsOf(self)))
  examples(scale, [
    [
      "redcar nats scale --engine nats://a:4222,nats://b:4222,nats://c:4222 --nats-replicas 3",
      "From one copy to three",
    ],
    [
      "redcar nats scale --engine nats://a:4222 --nats-dedupe-window 10m --dry-run",
      "What a shorter window would change",
    ],
    ["redcar nats scale --config redcar.yaml --nats-replicas 3 --yes --json", "For scripts"],
  ])
}

async function run(context: Context, options: ScaleOptions, flags: Readonly<Record<string, string>>): Promise<void> {
  const { terminal } = context
  const loaded = loadSettings({ flags, env: terminal.env, readFile: readIfThere })
  if (loaded.kind === "faults") throw faulty(loaded.faults)
  const asked = {
    ...settingOf(options.natsReplicas, "--nats-replicas", "nats.replicas", "replicas"),
    ...settingOf(options.natsDedupeWindow, "--nats-dedupe-window", "nats.dedupeWindow", "dedupeWindowMs"),
  }
  if (asked.replicas !== undefined && asked.replicas % 2 === 0) {
    throw new UsageError(`--nats-replicas: an even number survives no more than one less`, ["Say 1, 3 or 5."])
  }
  await scale(context, options, { ...placeOf(loaded.settings), ...asked })
}

function settingOf<K extends string>(
  text: string | undefined,
  flag: string,
  name: string,
  key: K,
): Partial<Record<K, number>> {
  if (text === undefined) return {}
  const read = readValue(settingsList.find((setting) => setting.name === name)!, text)
  if ("message" in read) throw new UsageError(`${flag}: ${JSON.stringify(text)} ${read.message}`)
  return { [key]: read.value as number } as Record<K, number>
}

interface Place {
  readonly servers: readonly string[]
  readonly prefix: string
  readonly credentialsFile?: string
  readonly caFile?: string
}

function placeOf({ engine, nats }: Settings): Place {
  const servers = natsServers(engine)
  if (servers === undefined) {
    throw new UsageError("a hub whose engine is embedded has no streams to scale", [
      "Name the servers of one on NATS: --engine nats://host:4222",
    ])
  }
  return {
    servers,
    prefix: nats.prefix,
    ...(nats.credentials !== "" && { credentialsFile: nats.credentials }),
    ...(nats.ca !== "" && { caFile: nats.ca }),
  }
}

async function scale(
  context: Context,
  options: ScaleOptions,
  asked: Place & { readonly replicas?: number; readonly dedupeWindowMs?: number },
): Promise<void> {
  const { terminal } = context
  const [{ openScaling }, { shown }] = await Promise.all([
    import("../../main-offline.ts"),
    import("../../engines/jetstream/streams.ts"),
  ])
  const scaling = await openScaling({ ...asked, log: loggerOf(terminal) })
  try {
    const { steps } = scaling
    const changes = steps.map(({ stream, setting, found, planned }) => ({ stream, setting, from: found, to: planned }))
    if (!options.json) await terminal.out(planText(context, steps, shown))
    if (steps.length === 0 || options.dryRun) return await told(context, options, { changes, changed: false })
    if (!(await confirmed(context, question(steps), options)))
      throw new UsageError("nothing was changed", ["Say yes when asked, or give --yes."])
    const progress = startProgress(terminal, undefined)
    await scaling.apply((stream) => progress.update(0, `${stream} is changed`)).finally(() => progress.end())
    const behind = await scaling.settled(settledMsMax)
    await told(context, options, { changes, changed: true, behind })
  } finally {
    await scaling.close()
  }
}

function planText(
  { terminal }: Context,
  steps: readonly Difference[],
  shown: (setting: string, value: unknown) => string,
): string {
  if (steps.length === 0) return "The streams are as they are to be; nothing is to be changed.\n"
  const columns = [
    { title: "stream", value: ({ stream }: Difference) => stream },
    { title: "setting", value: ({ setting }: Difference) => setting },
    { title: "now", value: ({ setting, found }: Difference) => shown(setting, found) },
    { title: "then", value: ({ setting, planned }: Difference) => shown(setting, planned) },
  ]
  return `${table(steps, columns, terminal.columns, coloursFor(terminal, "stdout").dim)}\n`
}

function question(steps: readonly Difference[]): string {
  const fewer = steps.some(
    ({ setting, found, planned }) => setting === "num_replicas" && Number(planned) < Number(found),
  )
  const streams = new Set(steps.map(({ stream }) => stream)).size
  const what = `Change ${plural(streams, "stream")}?`
  return fewer ? `${what} There will be fewer copies of each event than now.` : what
}

interface Told {
  readonly changes: readonly unknown[]
  readonly changed: boolean
  /** Streams of which not every copy has everything yet. */
  readonly behind?: readonly string[]
}

async function told({ terminal }: Context, { json }: ScaleOptions, result: Told): Promise<void> {
  if (json) return terminal.out(`${JSON.stringify(result, null, 2)}\n`)
  if (!result.changed) return
  const { behind = [] } = result
  const mark = coloursFor(terminal, "stdout").green("✓")
  await terminal.out(
    `${mark} changed ${plural(result.changes.length, "setting")}; start the hub with the same settings\n`,
  )
  if (behind.length > 0)
    await terminal.out(
      `  Copies of ${behind.join(", ")} are still being made: redcar doctor says when they are there.\n`,
    )
}
