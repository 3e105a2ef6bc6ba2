import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import type { Clock } from "../../core/clock.ts"
import type { Engine } from "../../core/engine.ts"
import type { DeliveryQueue } from "../../core/queue.ts"
import { refusedOr } from "../parts/directory-refused.ts"
import { type DirectoryLock, lockDirectory } from "../parts/lock.ts"
import { openQueue } from "../parts/queue.ts"
import type { Store } from "../parts/store.ts"
import { allAssignments } from "./assignments.ts"
import { auditLog } from "./audit.ts"
import { type EmbeddedCatalog, openCatalog } from "./catalog.ts"
import type { Disk } from "./disk.ts"
import { openNodeDisk } from "./disk-node.ts"
import { LogRefusedError, readChain } from "./log/chain.ts"
import { SegmentLog } from "./log/log.ts"
import type { RebuildStep } from "./log/open.ts"
import { closeToOthers, makeDirectory } from "./modes.ts"
import { openState } from "./state-directory.ts"
import { makeTopicsAgain } from "./topics.ts"

/** For disks that tests simulate. */
export type { Disk, DiskFile } from "./disk.ts"

export type { RebuildStep } from "./log/open.ts"

export interface EmbeddedOptions {
  readonly disk: Disk
  readonly store: Store
  readonly clock: Clock
  /** Default 64 MiB. */
  readonly segmentBytes?: number
  /** Memory for events that wait for the disk. Default 16 MiB. */
  readonly pendingBytesMax?: number
  /** Publishing is refused while less than this is free on the disk. Default 64 MiB. */
  readonly reserveBytes?: number
  /** Of topics that are made again because the log's beginning is lost. Default 24 hours. */
  readonly dedupeWindowMs?: number
  /** Runs once what is at hand in this turn has been seen; default setImmediate. */
  defer?(run: () => void): void
  /** The journal of the state is written anew when it has grown by so much. Default 32 MiB. */
  readonly compactBytesMin?: number
  /** Why the store is empty that had been there. */
  readonly discarded?: string
  /** The state is made anew, though nothing is wrong with it. */
  readonly isAnew?: boolean
  /** For the identity of a new log; default: the system's. */
  random?(bytes: number): Uint8Array
  /** Told once of each stretch of the log that does not check, and of what else is wrong with the files, one line each. */
  onNotice?(line: string): void
  /** Told of each stretch of the log that was lost, and is there again, one line each. */
  onFound?(line: string): void
  /** The state is made anew from the log. Called now and then with how far it is. */
  onRebuild?(step: RebuildStep): void
}

const segmentBytesDefault = 64 << 20

/** The engine that needs nothing beside it: a segmented log, and a transactional store for all that is small and mutable. */
export async function openEmbeddedEngine(options: EmbeddedOptions): Promise<Engine> {
  const { store } = options
  try {
    return await openParts(options)
  } catch (error) {
    await store.close()
    throw error
  }
}

async function openParts(options: EmbeddedOptions): Promise<Engine> {
  const { disk, store, clock, defer = setImmediate } = options
  const log = await SegmentLog.open({
    disk,
    store,
    clock,
    segmentBytes: options.segmentBytes ?? segmentBytesDefault,
    pendingBytesMax: options.pendingBytesMax ?? 16 << 20,
    reserveBytes: options.reserveBytes ?? 64 << 20,
    defer,
    ...(options.compactBytesMin !== undefined && { compactBytesMin: options.compactBytesMin }),
    ...(options.discarded !== undefined && { discarded: options.discarded }),
    ...(options.random && { random: options.random }),
    ...(options.onNotice && { onNotice: options.onNotice }),
    ...(options.onFound && { onFound: options.onFound }),
    ...(options.isAnew && { isAnew: true }),
    ...(options.onRebuild && { onRebuild: options.onRebuild }),
  })
  const { tables } = log
  try {
    const queue = await openQueue({ store: tables, clock, isTorn: log.isTorn })
    const catalog = await openCatalog({ store: tables, defer })
    if (log.isBeginningLost || log.isTorn) await makeTopicsAgain(log, catalog, options)
    await log.opened()
    return engineOf({ log, queue, catalog, store })
  } catch (error) {
    await log.close()
    throw error
  }
}

interface Parts {
  readonly log: SegmentLog
  readonly queue: Awaited<ReturnType<typeof openQueue>>
  readonly catalog: EmbeddedCatalog
  readonly store: Store
}

function engineOf({ log, queue, catalog, store }: Parts): Engine {
  return {
    log,
    queue: queue as DeliveryQueue,
    catalog,
    assignments: allAssignments,
    outage: () => log.outage(),
    health: () => log.health(),
    troubles: () => log.troubles(),
    warnings: () => [],
    audit: (_, options) => auditLog(log, options),
    figures: () => ({ ...log.figures(), ...queue.figures() }),
    backlog: () => queue.backlog(),
    async close() {
      log.ending()
      await catalog.close()
      await queue.close()
      await log.close()
      await store.close()
    },
  }
}

export interface DirectoryOptions extends Omit<EmbeddedOptions, "disk" | "store" | "discarded" | "isAnew"> {
  /** Makes the state anew from the log, whatever it is like. */
  readonly rebuild?: boolean
}

/**
 * Opens the engine on a directory, which is made where it is missing: `log/` for segments, `state/` for what follows from them.
 * All of it is for this user alone. Throws DirectoryLockedError while another process has it open, DirectoryRefusedError and
 * LogRefusedError, which say what to do.
 */
export async function openEmbeddedDirectory(directory: string, options: DirectoryOptions): Promise<Engine> {
  try {
    await makeDirectory(directory)
    const lock = await lockDirectory(directory)
    try {
      if (!(await closeToOthers(directory))) {
        options.onNotice?.(
          `${directory} is another user's, and others may look into it; what the hub has there is closed to them`,
        )
      }
      return await openLocked(directory, options, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  } catch (error) {
    throw refusedOr(directory, error)
  }
}

async function openLocked(directory: string, options: DirectoryOptions, lock: DirectoryLock): Promise<Engine> {
  const isBereft = wasHub(directory)
  const disk = await openNodeDisk(join(directory, "log"))
  if (options.rebuild) await checkLog(disk, options)
  const { store, discarded, health } = await openState(directory, options)
  const reason = options.rebuild ? undefined : discarded
  if (reason !== undefined) options.onNotice?.(`state/ cannot be used (${reason}); it is made anew from the log`)
  if (isBereft) options.onNotice?.(bereft)
  const engine = await openEmbeddedEngine({
    ...options,
    disk,
    store,
    ...(options.rebuild && { isAnew: true }),
    ...(reason !== undefined && { discarded: reason }),
  })
  try {
    await lock.lockLog()
  } catch (error) {
    await engine.close()
    throw error
  }
  return {
    ...engine,
    holder: lock.owner,
    health: () => [...engine.health(), ...health(), ...(isBereft ? [bereft] : [])],
    async close() {
      await engine.close()
      await lock.release()
    },
  }
}

/** Whether a hub that kept its log here has left nothing but its key. A hub on NATS has its key here too. */
function wasHub(directory: string): boolean {
  const has = (name: string) => existsSync(join(directory, name))
  const holds = (name: string) => has(name) && readdirSync(join(directory, name)).length > 0
  return has("admin.key") && !holds("log") && !holds("state") && !has("nats")
}

const bereft =
  "nothing is left of what was here: admin.key is there, but log/ and state/ are gone; stop the hub and bring back log/, or let it begin anew"

/** What the state is made anew from has to be there before what is left of it is thrown away. Throws LogRefusedError. */
async function checkLog(disk: Disk, { segmentBytes = segmentBytesDefault }: DirectoryOptions): Promise<void> {
  const { identity, segments } = await readChain(disk, segmentBytes, undefined)
  if (identity !== undefined && segments.length > 0) return
  throw new LogRefusedError("log/ holds nothing that the state could be made from; state/ is left as it is", [
    "Bring back the files of log/ from a copy of the data directory",
  ])
}
