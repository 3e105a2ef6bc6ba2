import { randomBytes } from "node:crypto"
import { type Clock, sleep } from "../../../core/clock.ts"
import { isPassing } from "../../../core/errors.ts"
import { LogIndex, type Reached } from "../../parts/index/log-index.ts"
import { RecentIds } from "../../parts/index/recent-ids.ts"
import { Waiters } from "../../parts/index/waiters.ts"
import { JournalStore } from "../../parts/journal/journal-store.ts"
import type { Store } from "../../parts/store.ts"
import type { Disk } from "../disk.ts"
import { Appender } from "./appender.ts"
import {
  type Before,
  type Bookkeeping,
  beforeStart,
  bookkeepingWrite,
  nothingBefore,
  readBookkeeping,
  wipe,
} from "./bookkeeping.ts"
import { droppedSegments, missingSegments, nameOfLost, readChain, withDropped } from "./chain.ts"
import { firstPosition } from "./cursor.ts"
import type { LogIdentity } from "./head.ts"
import { damageLine, endOf, foundLine, holeLine, LogHealth, olderLine } from "./health.ts"
import { LogJournal } from "./log-journal.ts"
import { LossMemory } from "./loss-memory.ts"
import { endRestored, missing, rememberedLosses, review, unindexed } from "./losses.ts"
import { type Damage, damageIn, Reader } from "./reader.ts"
import { readDropped } from "./reclaim.ts"
import { type Recovered, recover } from "./recovery.ts"
import { type Hole, type LeftOut, Replay, type Replayed } from "./replay.ts"
import { Segments } from "./segments.ts"
import type { LogState } from "./state.ts"
import { Writer } from "./writer.ts"

export interface LogOptions {
  readonly disk: Disk
  /** Holds what follows from the log: brought up to it, or made anew, when it opens. */
  readonly store: Store
  readonly clock: Clock
  readonly segmentBytes: number
  /** Memory for events that wait for the disk; more is refused. */
  readonly pendingBytesMax: number
  /** Appends are refused while less than this is free on the disk. */
  readonly reserveBytes: number
  /** The journal is written anew when it has grown by so much; default 32 MiB. */
  readonly compactBytesMin?: number
  /** Why the store is empty that had been there. */
  readonly discarded?: string
  /** The state is made anew, though nothing is wrong with it: what it knows of the log's end still counts. */
  readonly isAnew?: boolean
  /** For the identity of a new log; default: the system's. */
  random?(bytes: number): Uint8Array
  defer(run: () => void): void
  /** Told once of each stretch that does not check, and of what else an operator should know of the files: one line each. */
  onNotice?(line: string): void
  /** Told of what was lost and is there again, one line each. */
  onFound?(line: string): void
  /** The tables are made anew from the log: why, and how far. Called now and then. */
  onRebuild?(step: RebuildStep): void
}

export interface RebuildStep {
  readonly phase: "reading" | "replaying"
  readonly done: number
  readonly total: number
}

const pendingJournalBytesMax = 16 << 20
const recordBytesMax = 512 << 10
const againAfterMs = 1_000
/** What is read between two flushes of the index. */
const flushEveryBytes = 32 << 20

/** The parts of a log that has been opened. */
export interface OpenedLog {
  readonly state: LogState
  readonly appender: Appender
  readonly tables: JournalStore
  /** Nothing is left of what the journal told at first. */
  readonly isBeginningLost: boolean
  /** Whether changes of the tables are lost, and they have not been told anew since. */
  readonly isTorn: boolean
  /** All that follows from the log is there: until then the next start begins anew. Without room it does all the same. */
  opened(): Promise<void>
  /** Ends what waits for room. */
  ending(): void
}

/** Opens the files, brings the tables up to them, and makes everything ready for writing. */
export function openLog(options: LogOptions): Promise<OpenedLog> {
  return new Opening(options).run()
}

class Opening {
  readonly #options: LogOptions
  readonly #health = new LogHealth()
  readonly #journal = new LogJournal()
  readonly #reached: Reached = { durable: 0, eventsEnd: 0 }
  readonly #closing = new AbortController()
  #appender: Appender | undefined
  /** What bookkeeping tells beside the journal's own. */
  #told: LeftOut & Pick<Bookkeeping, "isWhole" | "isOpening"> = { floor: 0, isWhole: true }
  readonly #memory: LossMemory
  #index: LogIndex | undefined
  /** The unused rests of segments that copies have brought back. */
  #ended: readonly Damage[] | undefined

  constructor(options: LogOptions) {
    this.#options = options
    this.#memory = new LossMemory(options.store, this.#health)
  }

  async run(): Promise<OpenedLog> {
    const { disk, store, segmentBytes } = this.#options
    const remembered = readBookkeeping(store)
    const chain = await readChain(disk, segmentBytes, remembered?.identity)
    const segments = await Segments.open(disk, this.#options, chain, () => this.#newIdentity())
    try {
      return await this.#recover(segments, remembered)
    } catch (error) {
      this.#closing.abort()
      this.#appender?.stop()
      await this.#index?.abandon()
      await segments.close()
      throw error
    }
  }

  async #recover(segments: Segments, remembered: Bookkeeping | undefined): Promise<OpenedLog> {
    const { store, clock } = this.#options
    const isOther = remembered !== undefined && remembered.identity.id !== segments.identity.id
    const isLost = isOther || (remembered === undefined && segments.list.length > 0)
    const before: Before = isLost || !remembered ? nothingBefore : beforeStart(store, remembered)
    const found = isLost ? [] : await this.#foundAgain(segments, before)
    const isAnew = isLost || found.length > 0 || this.#options.isAnew === true
    if (isAnew) await wipe(store)
    if (isOther) this.#note("state/ was of another log; it was made anew from this one")
    if (this.#options.discarded !== undefined && segments.list.length === 0) {
      this.#note(`nothing is left of what was here: log/ holds no events, and state/ cannot be used`)
    }
    const told = isAnew ? undefined : remembered
    const tables = this.#makeTables(segments.identity, told)
    const ids = new RecentIds(store, () => this.#appender?.windowMaxMs ?? 0)
    const index = new LogIndex(tables, clock, ids, this.#reached)
    this.#index = index
    const [reader, { identity }] = [this.#readerOf(segments), segments]
    const replay = new Replay({ reader, local: store, identity, told, isAnew })
    const recovered = await this.#read(segments, { index, replay, told, before, isLost, found })
    const leftOut = this.#leftOut(segments, recovered, isAnew ? { floor: before.floor } : before)
    const replayed = await replay.run(leftOut, (done, total) => {
      if (isAnew) this.#options.onRebuild?.({ phase: "replaying", done, total })
    })
    await store.flushed()
    this.#reached.durable = recovered.tail
    this.#reached.eventsEnd = Math.min(recovered.tail, Math.max(firstPosition, this.#reached.eventsEnd))
    await index.reload()
    index.restoreIds(recovered.tail, clock.now())
    this.#journal.resume(replayed)
    tables.resume(replayed)
    await this.#noteLosses(segments, recovered.damages, { atEnd: [leftOut.lost, before.lost], found, isAnew })
    this.#noteFound(segments, recovered, replayed.holes)
    // What the hub itself had written there only the state would know.
    if (isAnew && leftOut.lost !== undefined) this.#note(holeLine({ ...leftOut.lost, isBeginning: false }))
    const reached = ({ position, from, to }: Damage) => position + to - from > replayed.start
    const isDamaged = replayed.holes.length > 0 || this.#health.damages.some(reached)
    // What the journal no longer tells whole, it is told anew.
    const opening = isAnew && { isOpening: true as const }
    this.#told = { ...leftOut, isWhole: (told?.isWhole ?? true) && !isDamaged, ...opening }
    this.#journal.onWhole = () => {
      this.#told = { ...this.#told, isWhole: true }
    }
    for (const segment of droppedSegments(segments.list, readDropped(store))) await segments.drop(segment)
    const opened = await this.#start(segments, { recovered, replayed, index, ids, tables })
    this.#memory.attach(tables)
    if (!this.#told.isWhole) tables.compact()
    return opened
  }

  #leftOut(segments: Segments, { skippedTo = 0, lost }: Recovered, before: LeftOut): LeftOut {
    const now =
      lost === undefined ? before.lost : { ...lost, name: nameOfLost(segments.list, lost, this.#options.segmentBytes) }
    return { floor: Math.max(before.floor, skippedTo), ...(now && { lost: now }) }
  }

  #makeTables(identity: LogIdentity, told: Bookkeeping | undefined): JournalStore {
    const { store, clock, segmentBytes, compactBytesMin = 32 << 20 } = this.#options
    const journal = this.#journal
    return new JournalStore({
      journal,
      local: store,
      liveBytes: told?.liveBytes ?? 0,
      grownBytes: told?.grownBytes ?? 0,
      pendingBytesMax: pendingJournalBytesMax,
      recordBytesMax: Math.min(recordBytesMax, segmentBytes >> 2),
      compactBytesMin,
      // What comes while a record is on its way makes the next one: there is no more to wait for.
      defer: queueMicrotask,
      passes: isPassing,
      alongside: (applied, growth) => [
        bookkeepingWrite({ identity, applied, start: journal.start, number: journal.number, ...growth, ...this.#told }),
      ],
      localAgain: () => sleep(clock, againAfterMs, this.#closing.signal),
      lost: () => this.#closing.abort(),
    })
  }

  async #read(segments: Segments, { index, replay, told, before, isLost, found }: Reading): Promise<Recovered> {
    const { onRebuild } = this.#options
    const total = segments.end
    const watermark = index.watermark
    const floor = Math.max(before.floor, segments.floor)
    const { known, eventsEnd } = before
    const isOfOther = found.length > 0 && known > total
    let flushedAt = 0
    const recovered = await recover(segments, {
      from: Math.min(watermark, told?.applied ?? 0),
      known: known > floor ? known : 0,
      ...(isOfOther && { stored: Math.max(...found.map(endOf)) }),
      floor,
      leftOutTo: before.floor,
      isForgotten: isLost,
      onRecord: (record) => {
        this.#reached.eventsEnd = Math.max(this.#reached.eventsEnd, record.position + record.bytes)
        if (record.position >= watermark) index.restore(record)
      },
      onJournal: (record) => replay.found(record),
      progress: async (position) => {
        this.#reached.durable = Math.max(watermark, position)
        if (position - flushedAt < flushEveryBytes) return
        flushedAt = position
        if (told !== undefined) return
        await index.flush()
        onRebuild?.({ phase: "reading", done: position, total })
      },
    })
    const damages = recovered.damages.map((damage) => (damage.position >= watermark ? unindexed(damage) : damage))
    const { lost, ...rest } = recovered
    // What a log held that began anew meanwhile, and where nothing was published, was only the hub's own.
    const isNoLoss = lost === undefined || (isOfOther && eventsEnd <= total)
    if (isNoLoss && lost !== undefined) this.#options.onFound?.(olderLine(lost.from))
    return { ...rest, damages, ...(!isNoLoss && { lost }) }
  }

  async #start(segments: Segments, parts: Parts): Promise<OpenedLog> {
    const { disk, clock, pendingBytesMax, reserveBytes, defer } = this.#options
    const { recovered, replayed, index, ids, tables } = parts
    const waiters = new Waiters()
    const writer = new Writer(segments, recovered.tail, {
      pendingBytesMax,
      defer,
      onDurable: (end, eventsEnd) => {
        this.#reached.durable = end
        if (eventsEnd === 0) return
        this.#reached.eventsEnd = eventsEnd
        this.#appender?.onDurable()
        waiters.wake()
      },
      onDiscard: (from) => {
        index.rollback(from)
        this.#appender?.onDiscard()
      },
    })
    this.#journal.attach(writer)
    const reader = new Reader(segments, writer.ring, (damage) => this.#damaged(damage))
    const journal = this.#journal
    const [health, reached] = [this.#health, this.#reached]
    const state: LogState = {
      segments,
      writer,
      reader,
      index,
      ids,
      clock,
      store: tables,
      waiters,
      health,
      journal,
      reached,
    }
    const appender = new Appender(state, disk, reserveBytes, (line) => this.#options.onNotice?.(line))
    this.#appender = appender
    await appender.start()
    const isBeginningLost = replayed.holes.some(({ isBeginning }) => isBeginning)
    return {
      state,
      appender,
      tables,
      isBeginningLost,
      isTorn: !this.#told.isWhole,
      opened: () => this.#opened(),
      ending: () => this.#closing.abort(),
    }
  }

  async #opened(): Promise<void> {
    const { isOpening, ...told } = this.#told
    if (!isOpening) return
    this.#told = told
    await this.#memory.write().catch((error: unknown) => {
      if (!isPassing(error)) throw error
    })
  }

  #readerOf(segments: Segments): Reader {
    return new Reader(segments, undefined, (damage) => this.#damaged(damage))
  }

  #damaged(damage: Damage): void {
    const found = this.#health.add(damage)
    if (found === "known") return
    if (found === "new") this.#options.onNotice?.(damageLine(damage))
    this.#memory.remember()
  }

  #note(line: string): void {
    this.#health.note(line)
    this.#options.onNotice?.(line)
  }

  /** What earlier starts found to be lost; of what lay behind the log's end only bookkeeping may have been told. */
  #losses(atEnd: readonly LeftOut["lost"][]): readonly Damage[] {
    const more = atEnd.flatMap((lost) => (lost === undefined ? [] : [missing(lost)]))
    return [...rememberedLosses(this.#options.store), ...more]
  }

  /**
   * What a copy has brought back of what was lost, where the state is to be made anew with it: only the log's files tell what
   * was in it. Not while the state knows of more than they hold, unless that is of a log that began anew while they were away.
   */
  async #foundAgain(segments: Segments, { lost, known, floor, isWhole }: Before): Promise<readonly Damage[]> {
    const isMore = known > segments.end
    if (isMore && floor < segments.end) return []
    const [losses, reader] = [this.#losses([lost]), this.#readerOf(segments)]
    // Before the state is emptied: it knows what should be there.
    this.#ended = await endRestored(losses, segments, { reader, store: this.#options.store })
    const { left, found } = await review(losses, segments, reader)
    return (isWhole && !isMore) || left.length === 0 ? found : []
  }

  /** Tells what cannot be read, each once: what was known, and what was found now. */
  async #noteLosses(segments: Segments, damages: readonly Damage[], { atEnd, found, isAnew }: Known): Promise<void> {
    const [losses, reader] = [[...this.#losses(atEnd), ...found], this.#readerOf(segments)]
    const ended = this.#ended ?? (await endRestored(losses, segments, { reader, store: this.#options.store }))
    const reviewed = await review(losses, segments, reader)
    // What the state was not made anew with cannot be read yet.
    const left = isAnew ? reviewed.left : [...reviewed.left, ...reviewed.found]
    if (isAnew) for (const line of new Set(reviewed.found.map(foundLine))) this.#options.onFound?.(line)
    const isEnded = ({ position }: Damage) => ended.some((end) => end.position === position)
    for (const damage of [...left, ...damages.filter((damage) => !isEnded(damage))]) this.#damaged(damage)
    for (const { from, to } of segments.shortened) this.#damaged(damageIn(segments.at(from)!, from, to))
    const covered = left
      .filter(({ kind }) => kind === "missing")
      .reduce(
        (all, { position, to }) => withDropped(all, { from: position, to: position + to }),
        readDropped(this.#options.store),
      )
    for (const stretch of missingSegments(segments.list, covered)) this.#damaged(missing(stretch))
  }

  #noteFound(segments: Segments, { unfinishedBytes }: Recovered, holes: readonly Hole[]): void {
    for (const line of segments.notes) this.#note(line)
    for (const hole of holes) this.#note(holeLine(hole))
    if (unfinishedBytes > 0) {
      this.#options.onNotice?.(
        `${unfinishedBytes} bytes at the log's end were never finished writing; they are left out`,
      )
    }
  }

  #newIdentity(): LogIdentity {
    const bytes = Buffer.from(this.#options.random?.(12) ?? randomBytes(12))
    return { id: bytes.toString("hex", 0, 8), salt: bytes.readUInt32LE(8) }
  }
}

interface Reading {
  readonly index: LogIndex
  readonly replay: Replay
  readonly told: Bookkeeping | undefined
  readonly before: Before
  readonly isLost: boolean
  /** What is there again. */
  readonly found: readonly Damage[]
}

/** What the state knew to be lost. */
interface Known {
  readonly atEnd: readonly LeftOut["lost"][]
  readonly found: readonly Damage[]
  readonly isAnew: boolean
}

interface Parts {
  readonly recovered: Recovered
  readonly replayed: Replayed
  readonly index: LogIndex
  readonly ids: RecentIds
  readonly tables: JournalStore
}
