import { migrationKey } from "../core/catalog-keys.ts"
import { type Chance, type Clock, sleep } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { OverloadError, StorageError } from "../core/errors.ts"
import { copyEvents } from "./copier.ts"
import { CursorMap } from "./cursor-map.ts"
import { isEmpty, takeInventory } from "./inventory.ts"
import type { Ledger, LedgerHead } from "./ledger.ts"
import type { MigrationMark } from "./mark.ts"
import { Moving } from "./moving.ts"
import { MigrationRefusedError, MigrationStoppedError } from "./refusal.ts"
import { Translator } from "./translator.ts"
import { type Comparison, compareAll, isSame } from "./verify.ts"

export interface MigrationOptions {
  /** Nobody else has it open, or changes it. */
  readonly source: Engine
  readonly target: Engine
  readonly ledger: Ledger
  /** What the source and the target are called: another pair needs another ledger. */
  readonly from: string
  readonly to: string
  readonly clock: Clock
  readonly chance: Chance
  readonly stop: AbortSignal
  tell?(step: MigrationStep): void
}

/** How far a migration has come; the units of `done` and `total` are the stage's own, `total` is an estimate. */
export interface MigrationStep {
  readonly stage: "events" | "deliveries" | "catalog" | "verifying"
  readonly done: number
  readonly total: number | undefined
}

export interface MigrationReport {
  /** Every kind of thing, counted and summed on both sides. */
  readonly comparisons: readonly Comparison[]
  readonly same: boolean
  /** What people are to know of. */
  readonly notes: readonly string[]
}

/**
 * Copies all that an engine holds into another one: events, deliveries, the catalog and how far readers are; and compares
 * both at the end. Cut off anywhere, the same call goes on from there. Throws MigrationRefusedError where it cannot, and
 * MigrationStoppedError once `stop` aborts.
 */
export async function migrate(options: MigrationOptions): Promise<MigrationReport> {
  const { source, target, ledger } = options
  await begin(options)
  const map = new CursorMap(source.log, target.log.partitions, ledger)
  const total = (await takeInventory(source)).topics.reduce((sum, { events }) => sum + events, 0)
  await copyEvents({
    ...options,
    map,
    translator: new Translator(target.log, map),
    tell: (done) => options.tell?.({ stage: "events", done, total }),
  })
  await checkAtRest(options)
  const moving = await Moving.of(source, target, map)
  await persist(options, () => copyDeliveries(options, moving))
  await persist(options, () => copyPositions(options, moving))
  await persist(options, () => copyCatalog(options, moving))
  const report = await compare(options, map, moving)
  if (report.same) await persist(options, () => finish(options))
  return report
}

/** Compares source and target of a migration that has been made, and changes nothing. */
export async function verifyMigration(options: MigrationOptions): Promise<MigrationReport> {
  const { source, target, ledger } = options
  const { head } = ledger
  const mark = await markOf(target)
  if (head === undefined || mark?.id !== head.id) {
    throw new MigrationRefusedError(`${options.to} is not the target of a migration that the ledger knows of`, [
      "Name the same --from, --to and --work as for the migration itself.",
    ])
  }
  const map = new CursorMap(source.log, target.log.partitions, ledger)
  return compare(options, map, await Moving.of(source, target, map))
}

async function compare(options: MigrationOptions, map: CursorMap, moving: Moving): Promise<MigrationReport> {
  const total = 2 * options.ledger.progress.events
  let done = 0
  const comparisons = await compareAll({
    ...options,
    map,
    moving,
    tell(events) {
      done += events
      options.tell?.({ stage: "verifying", done, total })
    },
  })
  return { comparisons, same: comparisons.every(({ same }) => same), notes: await moving.notes() }
}

/** Sees to it that ledger, source and target belong together, and marks the target. */
async function begin(options: MigrationOptions): Promise<void> {
  const { source, target, ledger, from, to, clock, chance } = options
  const heads = await headsOf(source)
  const mark = await markOf(target)
  const head = ledger.head
  if (head !== undefined) checkHead(head, options, heads)
  if (mark?.doneAt !== undefined && mark.id === head?.id) {
    throw new MigrationRefusedError(`${from} has been moved to ${to} already`, [
      "See that they are the same: --verify-only",
    ])
  }
  if (mark?.id !== head?.id || mark === undefined) {
    if (!(await isEmpty(target)) || mark !== undefined) throw notEmpty(to, mark)
    if (ledger.progress.events > 0) throw lost(to)
  }
  const begun: LedgerHead = head ?? {
    id: chance.id(),
    from,
    to,
    startedAt: clock.now(),
    heads,
    sourcePartitions: source.log.partitions,
    targetPartitions: target.log.partitions,
  }
  if (head === undefined) ledger.begin(begun)
  const { id, startedAt } = begun
  if (mark === undefined) await target.catalog.put(migrationKey, { id, from, startedAt } satisfies MigrationMark)
}

function checkHead(head: LedgerHead, { from, to, source, target }: MigrationOptions, heads: readonly Cursor[]): void {
  if (head.from !== from || head.to !== to) {
    throw new MigrationRefusedError(`the ledger is of a migration from ${head.from} to ${head.to}`, [
      "Name another directory for this one's: --work <directory>",
    ])
  }
  const [partitions, before] = [target.log.partitions, head.targetPartitions]
  if (partitions !== before || source.log.partitions !== head.sourcePartitions) {
    throw new MigrationRefusedError(
      `the migration was begun with ${before} partitions in the target, not ${partitions}`,
      ["Say the same settings as at its beginning."],
    )
  }
  if (!isSame(heads, head.heads)) {
    throw new MigrationRefusedError(`${from} has been written to since the migration began`, [
      "Stop what writes to it. Then start again with an empty target, and without the ledger.",
    ])
  }
}

function notEmpty(to: string, mark: MigrationMark | undefined): MigrationRefusedError {
  const why =
    mark === undefined ? "it holds something already" : `it is the target of another migration, from ${mark.from}`
  return new MigrationRefusedError(`${to} cannot be moved to: ${why}`, [
    "Name an empty one: a new directory, or another --nats-prefix.",
  ])
}

function lost(to: string): MigrationRefusedError {
  return new MigrationRefusedError(`${to} is empty, but the ledger says that a part has been copied`, [
    "To start again, remove the ledger's directory.",
  ])
}

async function markOf({ catalog }: Engine): Promise<MigrationMark | undefined> {
  return (await catalog.get<MigrationMark>(migrationKey))?.value
}

function headsOf({ log }: Engine): Promise<readonly Cursor[]> {
  return Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.head(partition)))
}

/** What comes after the events is copied in one go: nothing may have been added meanwhile. */
async function checkAtRest(options: MigrationOptions): Promise<void> {
  if (isSame(await headsOf(options.source), options.ledger.head?.heads)) return
  throw new MigrationRefusedError(`${options.from} is being written to`, [
    "Stop its hub. Then start again with an empty target, and without the ledger.",
  ])
}

async function copyDeliveries({ source, target, stop, tell }: MigrationOptions, moving: Moving): Promise<void> {
  let done = 0
  for await (const items of source.queue.carried()) {
    if (stop.aborted) throw new MigrationStoppedError()
    await target.queue.carry(items.map((item) => moving.translator.carried(item)))
    done += items.length
    tell?.({ stage: "deliveries", done, total: undefined })
  }
}

async function copyPositions({ target }: MigrationOptions, moving: Moving): Promise<void> {
  for (const position of await moving.positions()) await target.queue.enqueue([], position)
}

async function copyCatalog({ target, stop, tell }: MigrationOptions, moving: Moving): Promise<void> {
  let done = 0
  for await (const { key, value } of moving.items()) {
    if (stop.aborted) throw new MigrationStoppedError()
    const there = await target.catalog.get(key)
    if (there === undefined || !isSame(there.value, value)) await target.catalog.put(key, value)
    tell?.({ stage: "catalog", done: ++done, total: undefined })
  }
}

async function finish({ target, clock }: MigrationOptions): Promise<void> {
  const mark = await markOf(target)
  await target.catalog.put(migrationKey, { ...mark, doneAt: clock.now() })
}

const triesMax = 20
const pauseMs = 1_000

/** Does again what the target did not take; all that goes through here may be done twice. */
async function persist({ clock, stop }: MigrationOptions, work: () => Promise<void>): Promise<void> {
  // Ends: after triesMax.
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const passes = error instanceof OverloadError || error instanceof StorageError
      if (!passes || tries === triesMax) throw error
      await sleep(clock, pauseMs, stop)
      if (stop.aborted) throw new MigrationStoppedError()
    }
  }
}
