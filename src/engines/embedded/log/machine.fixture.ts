import { StorageError } from "../../../core/errors.ts"
import { Event } from "../../../core/event.ts"
import type { StoredEvent } from "../../../core/log.ts"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createSimulatedDisk } from "../../../testing/disk.ts"
import { createPower } from "../../../testing/power.ts"
import { createSimulatedStore } from "../../../testing/store.ts"
import type { Store } from "../../parts/store.ts"
import type { Disk, DiskFile } from "../disk.ts"
import { formatCursor } from "./cursor.ts"
import { SegmentLog } from "./log.ts"
import type { LogOptions } from "./open.ts"

export const orders = { tenant: "acme", topic: "orders" }
export const event = (id: string, bytes = 20) =>
  Event.of({ specversion: "1.0", id, source: "/shop", type: "order.created" }, Buffer.alloc(bytes, id), "text")

export interface MachineOptions {
  readonly segmentBytes: number
  readonly compactBytesMin?: number
  /** Of the log's identity. */
  readonly seed?: number
  /** What stands between a process and its disk, and its store. */
  throughDisk?(disk: Disk): Disk
  throughStore?(store: Store): Store
}

/** A machine with a log, whose files can be meddled with while no process uses it; each `open` is a new process. */
export function machine(options: MachineOptions) {
  const { segmentBytes, compactBytesMin, seed = 1 } = options
  const clock = createSimulatedClock(1_000_000)
  const chance = createSimulatedChance("machine")
  const disk = createSimulatedDisk({ chance: chance.fork("disk"), latencyMs: () => 0.1 })
  const store = createSimulatedStore({ chance: chance.fork("store"), latencyMs: () => 0.1 })
  const lines: string[] = []
  const found: string[] = []
  let power = createPower({ clock })
  const run = <T>(work: Promise<T>) => runUntil(clock, work)
  const hand = () => disk.mount(createPower({ clock }))
  const removing = { failing: false, refused: 0 }
  const mounted = () => withRemoving(disk.mount(power), removing)
  const logOptions = (): LogOptions => ({
    disk: options.throughDisk?.(mounted()) ?? mounted(),
    store: options.throughStore?.(store.mount(power)) ?? store.mount(power),
    clock: power.clock,
    segmentBytes,
    ...(compactBytesMin !== undefined && { compactBytesMin }),
    pendingBytesMax: 4 << 20,
    reserveBytes: 0,
    random: (bytes) => Buffer.alloc(bytes, seed),
    defer: queueMicrotask,
    onNotice: (line) => lines.push(line),
    onFound: (line) => found.push(line),
  })
  return {
    /** Whether files can neither be removed nor given another name; how often that was refused. */
    set failing(failing: boolean) {
      removing.failing = failing
    },
    get refused() {
      return removing.refused
    },
    segmentBytes,
    clock,
    disk,
    store,
    lines,
    found,
    run,
    cut: () => power.cut(),
    /** The disk as somebody sees it who meddles with it. */
    hand,
    /** To open more than a log on this machine. */
    logOptions,
    /** A process that dies before its hub has made everything that follows from the log. */
    openUntilThere(): Promise<SegmentLog> {
      power = createPower({ clock })
      return run(SegmentLog.open(logOptions()))
    },
    open(): Promise<SegmentLog> {
      power = createPower({ clock })
      const opening = async () => {
        const log = await SegmentLog.open(logOptions())
        await log.opened()
        return log
      }
      return run(opening())
    },
    /** The segments' names, in order. */
    segments: () =>
      disk
        .files()
        .map(({ name }) => name)
        .filter((name) => name.endsWith(".segment"))
        .sort(),
    rename: (from: string, to: string) => run(hand().rename(from, to)),
    /** Puts a file there that holds `data`. */
    async put(name: string, data: Uint8Array): Promise<void> {
      const file = await run(hand().create(name, data.length))
      await run(file.write(data, 0))
    },
    async read(log: SegmentLog): Promise<StoredEvent[]> {
      const stored: StoredEvent[] = []
      const reading = async () => {
        for await (const { events } of log.read({})) stored.push(...events)
      }
      await run(reading())
      return stored
    },
  }
}

function withRemoving(disk: Disk, removing: { readonly failing: boolean; refused: number }): Disk {
  const refuse = async () => {
    removing.refused++
    throw new StorageError("no more today")
  }
  return {
    ...throughFiles((file) => file)(disk),
    rename: (from, to) => (removing.failing ? refuse() : disk.rename(from, to)),
    remove: (name) => (removing.failing ? refuse() : disk.remove(name)),
  }
}

/** A disk whose files are opened through `change`. */
export const throughFiles =
  (change: (file: DiskFile) => DiskFile) =>
  (disk: Disk): Disk => ({
    list: () => disk.list(),
    create: (name, bytes) => disk.create(name, bytes),
    createSparse: (name, bytes, parts) => disk.createSparse(name, bytes, parts),
    open: async (name) => change(await disk.open(name)),
    rename: (from, to) => disk.rename(from, to),
    remove: (name) => disk.remove(name),
    freeBytes: () => disk.freeBytes(),
  })

export type Machine = ReturnType<typeof machine>

export const idsOf = (stored: readonly StoredEvent[]) => stored.map(({ event }) => event.id)
export const nameAt = (position: number) => `${formatCursor(position)}.segment`

/** Appends one event after another, and answers their ids. */
export async function fill(host: Machine, log: SegmentLog, count: number, bytes = 1_000, prefix = "e") {
  const ids = Array.from({ length: count }, (_, i) => `${prefix}${i}`)
  for (const id of ids) await host.run(log.append(orders, [event(id, bytes)]))
  return ids
}
