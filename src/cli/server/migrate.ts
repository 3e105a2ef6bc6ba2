import { constants, copyFileSync, existsSync, statSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { type Command, Option } from "commander"
import { loadSettings } from "../../config/load.ts"
import { type Settings, settingsList } from "../../config/schema.ts"
import type { Engine } from "../../core/engine.ts"
import { shownServers } from "../../core/servers.ts"
import type { Inventory } from "../../migrate/inventory.ts"
import type { MigrationReport, MigrationStep } from "../../migrate/migrate.ts"
import { MigrationStoppedError } from "../../migrate/refusal.ts"
import { type Context, examples } from "../command.ts"
import { exitCodes, FailedError, ToldError, UsageError } from "../failures.ts"
import type { Terminal } from "../terminal.ts"
import { planText, reportText, StepProgress } from "./migrate-report.ts"
import { faulty, flagsOf, loggerOf, optionOf, readIfThere } from "./serve.ts"

interface MigrateOptions {
  readonly from: string
  readonly to: string
  readonly work?: string
  readonly dryRun?: boolean
  readonly verifyOnly?: boolean
  readonly json?: boolean
}

export function configure(command: Command, context: Context): void {
  command
    .description(
      "Copy all that a hub holds to another engine: events, open deliveries, dead letters, resources, and how far " +
        "triggers are. The hub has to be stopped, and the target empty. Cut off, it goes on when it is run again.",
    )
    .requiredOption(
      "--from <place>",
      "where the hub's data are: a directory, or nats://host:4222 (several with commas)",
    )
    .requiredOption("--to <place>", "where they are to go, likewise")
    .option("--work <directory>", "where it notes how far it is (default: `migrate` in the source's directory)")
    .option("--dry-run", "say what would be copied, and copy nothing")
    .option("--verify-only", "compare the source with the target of an earlier run, and copy nothing")
    .option("--json", "print JSON, for programs")
    .addOption(new Option("--config <file>", "a file of settings, as for redcar serve"))
  for (const setting of settingsList) if (setting.name.startsWith("nats.")) command.addOption(optionOf(setting))
  command.action((options: MigrateOptions, self: Command) => run(context, options, flagsOf(self)))
  examples(command, [
    ["redcar migrate --from ./data --to nats://127.0.0.1:4222 --dry-run", "What would be copied"],
    ["redcar migrate --from ./data --to nats://a:4222,nats://b:4222,nats://c:4222 --nats-replicas 3", "To a cluster"],
    ["redcar migrate --from nats://127.0.0.1:4222 --to ./data-back", "And back, to a new directory"],
    ["redcar migrate --from ./data --to nats://127.0.0.1:4222 --verify-only --json", "Compare once more, for programs"],
  ])
}

/** One end of a migration. */
interface Place {
  /** What it is called, without secrets. */
  readonly name: string
  /** Of an embedded hub. */
  readonly directory: string | undefined
  readonly settings: Settings
}

async function run(context: Context, options: MigrateOptions, flags: Readonly<Record<string, string>>): Promise<void> {
  const { terminal } = context
  const directories = [options.from, options.to].filter((place) => !isServer(place))
  const work = resolve(options.work ?? join(directories[0] ?? "redcar-migration", "migrate"))
  const from = placeOf(options.from, work, flags, terminal)
  const to = placeOf(options.to, work, flags, terminal)
  check(from, to)
  try {
    if (options.dryRun) return await plan(context, options, from, to)
    await move(context, options, { from, to, work })
  } catch (error) {
    if (!(error instanceof MigrationStoppedError)) throw error
    throw new FailedError("stopped; what has been copied is kept", ["The same command goes on from there."], {
      cause: error,
    })
  }
}

function isServer(place: string): boolean {
  return /^(nats|tls):\/\//.test(place)
}

function placeOf(place: string, work: string, flags: Readonly<Record<string, string>>, terminal: Terminal): Place {
  const isNats = isServer(place)
  if (!isNats && /^[a-z]+:\/\//i.test(place))
    throw new UsageError(`${shownServers(place.split(","))} is neither a directory nor NATS`, [
      "NATS is nats://host:4222 or tls://host:4222.",
    ])
  const data = isNats ? work : resolve(place)
  const own = { ...flags, data, engine: isNats ? place : "embedded", roles: "ingest,route,deliver,api" }
  const loaded = loadSettings({ flags: own, env: terminal.env, readFile: readIfThere })
  if (loaded.kind === "faults") throw faulty(loaded.faults)
  const { settings } = loaded
  const name = isNats ? `${shownServers(place.split(",")).replaceAll(", ", ",")} (${settings.nats.prefix})` : data
  return { name, directory: isNats ? undefined : data, settings }
}

function check(from: Place, to: Place): void {
  if (from.name === to.name)
    throw new UsageError("--from and --to are the same place", ["Name an empty one with --to."])
  if (to.directory !== undefined && statSync(to.directory, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new UsageError(`${to.directory} is a file`, ["Name a directory that is empty, or not there yet, with --to."])
  if (from.directory !== undefined && !existsSync(join(from.directory, "log"))) {
    throw new UsageError(`there is no hub's data in ${from.directory}`, ["Name its data directory with --from."])
  }
}

async function plan({ terminal }: Context, { json }: MigrateOptions, from: Place, to: Place): Promise<void> {
  const { openToMove } = await import("../../main-offline.ts")
  const { takeInventory } = await import("../../migrate/inventory.ts")
  const work = await mkdtemp(join(tmpdir(), "redcar-plan-"))
  let inventory: Inventory
  try {
    const source: Engine = await openToMove(from.settings, work, loggerOf(terminal))
    inventory = await takeInventory(source).finally(() => source.close())
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  if (json) return terminal.out(`${JSON.stringify({ from: from.name, to: to.name, ...inventory }, null, 2)}\n`)
  return terminal.out(planText(terminal, inventory, from.name, to.name))
}

interface Move {
  readonly from: Place
  readonly to: Place
  readonly work: string
}

async function move({ terminal }: Context, options: MigrateOptions, { from, to, work }: Move): Promise<void> {
  const { openMigration } = await import("../../main-offline.ts")
  const { migrate, verifyMigration } = await import("../../migrate/migrate.ts")
  const startedAt = performance.now()
  const opened = await openMigration(from.settings, to.settings, work, loggerOf(terminal))
  const progress = new StepProgress(terminal)
  const tell = (step: MigrationStep) => progress.tell(step)
  let report: MigrationReport
  try {
    const all = { ...opened, from: from.name, to: to.name, stop: terminal.interrupted(), tell }
    report = await (options.verifyOnly ? verifyMigration(all) : migrate(all))
  } finally {
    progress.end()
    await opened.close()
  }
  if (report.same && !options.verifyOnly) report = withKey(report, from, to)
  const seconds = (performance.now() - startedAt) / 1_000
  if (options.json) {
    await terminal.out(`${JSON.stringify({ from: from.name, to: to.name, seconds, ...report }, null, 2)}\n`)
  } else
    await terminal.out(
      reportText(terminal, report, { to: to.name, work, seconds, verified: options.verifyOnly === true }),
    )
  if (!report.same) throw new ToldError(exitCodes.failed)
}

/** NATS has no place for a file: whoever serves there is told of it. */
function withKeyOf(report: MigrationReport, { directory }: Place): MigrationReport {
  const file = directory === undefined ? undefined : join(directory, "admin.key")
  if (file === undefined || !existsSync(file)) return report
  const note = `the admin key is as it was: copy ${file} into the data directory of the hub on NATS, or give it with --key`
  return { ...report, notes: [...report.notes, note] }
}

/** The admin key's file goes with its hub: the next start would make another one. */
function withKey(report: MigrationReport, from: Place, to: Place): MigrationReport {
  if (to.directory === undefined) return withKeyOf(report, from)
  const file = join(to.directory, "admin.key")
  const old = from.directory === undefined ? undefined : join(from.directory, "admin.key")
  if (existsSync(file)) return report
  if (old === undefined || !existsSync(old)) {
    const note = `put the admin key into ${file}, for its owner alone (mode 600): else the first start makes another one`
    return { ...report, notes: [...report.notes, note] }
  }
  copyFileSync(old, file, constants.COPYFILE_EXCL)
  return report
}
