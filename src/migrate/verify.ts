import { partsOfKey } from "../core/catalog-keys.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import type { Carried } from "../core/transfer.ts"
import { orderedJson, SetSum, sumTopics, type TopicSum } from "./checksum.ts"
import type { CursorMap } from "./cursor-map.ts"
import { catalogItems } from "./inventory.ts"
import type { Ledger } from "./ledger.ts"
import type { Moving } from "./moving.ts"
import { MigrationStoppedError } from "./refusal.ts"

/** One kind of thing, counted and summed on both sides. */
export interface Comparison {
  readonly what: string
  readonly source: Side
  readonly target: Side
  readonly same: boolean
}

export interface Side {
  readonly count: number
  readonly checksum: string
}

export interface VerifyOptions {
  readonly source: Engine
  readonly target: Engine
  readonly ledger: Ledger
  readonly map: CursorMap
  readonly moving: Moving
  readonly stop: AbortSignal
  /** So many more events were read, of both sides together. */
  tell(events: number): void
}

/** Reads both sides through; the source counts as what it is to be in the target. Bounded by the number of topics. */
export async function compareAll(options: VerifyOptions): Promise<readonly Comparison[]> {
  const found = [
    ...(await compareEvents(options)),
    ...(await compareQueue(options)),
    ...(await compareCatalog(options)),
    await comparePositions(options),
  ]
  if (options.stop.aborted) throw new MigrationStoppedError()
  return found
}

async function compareEvents(options: VerifyOptions): Promise<readonly Comparison[]> {
  const { source, target, ledger, map, moving, tell, stop } = options
  const asMoved = (stored: StoredEvent) => {
    const moved = moving.translator.record(stored)
    const cursor = map.exact(stored.cursor, target.log.partitionOf(stored.address))
    const storedAt = ledger.raisedTo(stored.cursor) ?? stored.storedAt
    return { stored: { ...moved, storedAt }, cursor }
  }
  const before = await sumTopics(source.log, asMoved, tell, stop)
  const after = await sumTopics(target.log, (stored) => ({ stored, cursor: stored.cursor }), tell, stop)
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .map((name) => comparison(`events of ${name}`, sideOf(before.get(name)), sideOf(after.get(name))))
}

const none: Side = { count: 0, checksum: "-" }

function sideOf(sum: TopicSum | undefined): Side {
  return sum === undefined ? none : { count: sum.events, checksum: sum.checksum }
}

function comparison(what: string, source: Side, target: Side): Comparison {
  return { what, source, target, same: source.count === target.count && source.checksum === target.checksum }
}

async function compareQueue({ source, target, moving }: VerifyOptions): Promise<readonly Comparison[]> {
  const before = await sumQueue(source, (item) => moving.translator.carried(item))
  const after = await sumQueue(target, (item) => item)
  return [comparison("open deliveries", before.open, after.open), comparison("dead letters", before.dead, after.dead)]
}

async function sumQueue({ queue }: Engine, as: (item: Carried) => Carried) {
  const [open, dead] = [new SetSum(), new SetSum()]
  for await (const items of queue.carried()) {
    for (const item of items) (item.kind === "dead" ? dead : open).add(as(item))
  }
  return { open: { count: open.count, checksum: open.checksum }, dead: { count: dead.count, checksum: dead.checksum } }
}

async function compareCatalog({ target, moving }: VerifyOptions): Promise<readonly Comparison[]> {
  const before = new Map<string, SetSum>()
  const after = new Map<string, SetSum>()
  for await (const { key, value } of moving.items()) sumOf(before, partsOfKey(key).kind).add([key, value])
  for await (const { key, value } of catalogItems(target.catalog)) sumOf(after, partsOfKey(key).kind).add([key, value])
  const side = (sum: SetSum | undefined): Side => (sum ? { count: sum.count, checksum: sum.checksum } : none)
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .map((kind) => comparison(`catalog: ${kind}`, side(before.get(kind)), side(after.get(kind))))
}

function sumOf(sums: Map<string, SetSum>, kind: string): SetSum {
  const known = sums.get(kind)
  if (known !== undefined) return known
  const sum = new SetSum()
  sums.set(kind, sum)
  return sum
}

async function comparePositions({ target, moving }: VerifyOptions): Promise<Comparison> {
  const [before, after] = [new SetSum(), new SetSum()]
  for (const { reader, cursor } of await moving.positions()) {
    before.add([reader, cursor])
    const position = await target.queue.position(reader)
    if (position !== undefined) after.add([reader, position])
  }
  return comparison("reader positions", before, after)
}

/** Whether two catalog values are the same. */
export function isSame(a: unknown, b: unknown): boolean {
  return orderedJson(a) === orderedJson(b)
}
