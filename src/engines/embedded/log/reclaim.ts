import { sleep } from "../../../core/clock.ts"
import { StorageFullError } from "../../../core/errors.ts"
import type { Store } from "../../parts/store.ts"
import { type Dropped, withDropped } from "./chain.ts"
import type { Damage } from "./reader.ts"
import { headerBytes, writeGap } from "./record.ts"
import { countBytes } from "./segment-bytes.ts"
import type { Segment } from "./segments.ts"
import type { LogState } from "./state.ts"

/** A segment is rewritten when less than this part of what it takes on the disk is still kept. */
const thinBelow = 0.5
const pieceBytes = 1 << 20
/** Topics counted in one turn. */
const topicsAtOnce = 50
/** What is left is tried again after this long, then after twice as long, and so on; so often, until something else succeeds. */
const againAfterMs = 1_000
const triesMax = 10

/** Under which the stretches are kept, in the journal's `meta`, that retention gave back. */
const droppedKey = "dropped"

/** The stretches that retention gave back. */
export function readDropped(store: Store): readonly Dropped[] {
  const stored = store.get("meta", droppedKey)
  return stored === undefined ? [] : (JSON.parse(Buffer.from(stored).toString("utf8")) as readonly Dropped[])
}

/**
 * Why a segment may have room to give back: retention dropped events in it, the journal left it, or a process that is dead may
 * not have come to it.
 */
type Cause = "retention" | "journal" | "start"

interface Live {
  readonly from: number
  to: number
}

/**
 * Gives back the room of events that retention dropped: a segment that holds nothing any more goes; one that holds little
 * is rewritten as a sparse file, in which every record keeps its place.
 */
export class Reclaimer {
  readonly #state: LogState
  /** What was kept of a segment when it was rewritten. */
  readonly #kept = new Map<string, number>()
  /** About what a sealed segment holds that is kept; less at worst, until it is looked into. */
  readonly #held = new Map<string, number>()
  /** Where a sealed segment holds the journal; of those only that the journal still needs. */
  readonly #journaled = new Map<string, readonly Live[]>()
  #running: Promise<void> = Promise.resolve()
  /** What is still to be looked into, or failed: one stretch for each cause. */
  readonly #left = new Map<Cause, Dropped>()
  #tries = 0
  #cancelAgain: (() => void) | undefined
  #isStopped = false

  constructor(state: LogState) {
    this.#state = state
    this.#left.set("start", { from: 0, to: state.segments.end })
  }

  /**
   * After events between `from` and `to` were dropped: so many bytes of each segment, by name, where that is known. Then a
   * segment is looked into only when little of it may be kept.
   */
  async run(from: number, to: number, dropped?: ReadonlyMap<string, number>): Promise<void> {
    await this.#run(dropped === undefined ? "journal" : "retention", { from, to }, dropped)
    if (this.#cancelAgain === undefined) this.#tries = 0
    this.later()
  }

  /** Gives back a little later what is left from before. */
  later(): void {
    if (this.#isStopped || this.#left.size === 0 || this.#cancelAgain !== undefined || this.#tries >= triesMax) return
    this.#cancelAgain = this.#state.clock.after(againAfterMs * 2 ** this.#tries++, () => void this.#runAgain())
  }

  #run(cause: Cause, stretch: Dropped, dropped?: ReadonlyMap<string, number>): Promise<void> {
    this.#running = this.#running
      .catch(() => {})
      .then(() => this.#reclaim(cause, stretch, dropped))
      .catch((error: unknown) => {
        this.#leave(cause, stretch)
        throw error
      })
    return this.#running
  }

  /** Tries nothing again; resolves when nothing more is being given back. */
  stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelAgain?.()
    return this.#running.catch(() => {})
  }

  #leave(cause: Cause, { from, to }: Dropped): void {
    const before = this.#left.get(cause) ?? { from, to }
    this.#left.set(cause, { from: Math.min(before.from, from), to: Math.max(before.to, to) })
    this.later()
  }

  async #runAgain(): Promise<void> {
    this.#cancelAgain = undefined
    const left = [...this.#left]
    this.#left.clear()
    const ends = await Promise.allSettled(left.map(([cause, stretch]) => this.#run(cause, stretch)))
    if (ends.every(({ status }) => status === "fulfilled")) this.#tries = 0
  }

  async #reclaim(cause: Cause, { from, to }: Dropped, dropped?: ReadonlyMap<string, number>): Promise<void> {
    const { segments, writer } = this.#state
    const sealed = segments.list.slice(0, -1).filter(({ base, bytes }) => base + bytes <= writer.durable)
    const touched = sealed.filter(({ base, bytes }) => base + bytes > from && base < to)
    const known = touched.filter(({ name }) => this.#held.has(name))
    for (const { name } of known) this.#held.set(name, this.#held.get(name)! - (dropped?.get(name) ?? 0))
    if (known.length < touched.length) await this.#count(sealed)
    const ends: PromiseSettledResult<void>[] = []
    for (const segment of touched) {
      if (this.#mayGive(segment, cause)) ends.push(...(await Promise.allSettled([this.#look(segment, cause)])))
    }
    // One that cannot be given back does not keep the others.
    const failed = ends.find(({ status }) => status === "rejected")
    if (failed?.status === "rejected") throw failed.reason
  }

  #mayGive(segment: Segment, cause: Cause): boolean {
    const held = this.#held.get(segment.name)!
    return cause === "journal" || held <= 0 || held < this.#thinBelow(segment)
  }

  async #look(segment: Segment, cause: Cause): Promise<void> {
    const live = await this.#live(segment)
    // What cannot be read is given up by retention only: a copy may bring it back until then.
    if (cause !== "retention" && this.#damages(segment).length > 0) return
    const kept = live.reduce((sum, part) => sum + part.to - part.from, 0)
    this.#held.set(segment.name, kept)
    if (kept === 0) {
      if (this.#damages(segment).some(({ isUnindexed }) => isUnindexed)) return
      await this.#drop(segment)
    } else if (kept < this.#thinBelow(segment) && this.#damages(segment).length === 0) {
      await this.#state.segments.thin(segment, this.#parts(segment, live))
      this.#kept.set(segment.name, kept)
    } else return
    this.#state.reader.forget(segment)
  }

  /** A segment is rewritten when it holds less than this. */
  #thinBelow({ name, bytes }: Segment): number {
    return thinBelow * (this.#kept.get(name) ?? bytes)
  }

  /** What the segments hold of events that are kept, of those where it is not known, in one walk over all topics. */
  async #count(sealed: readonly Segment[]): Promise<void> {
    const { index, segments, clock } = this.#state
    const unknown = sealed.filter(({ name }) => !this.#held.has(name))
    const counted = new Map(unknown.map(({ name }) => [name, 0]))
    const end = unknown.at(-1)!
    let topics = 0
    for (const { tenant, topic } of index.topics()) {
      const ofTopic = index.topic(tenant, topic)
      const from = Math.max(unknown[0]!.base, ofTopic.trimmedTo)
      countBytes(counted, ofTopic, segments, { from, to: end.base + end.bytes })
      if (++topics % topicsAtOnce === 0) await sleep(clock, 0)
    }
    for (const { name, isSparse } of unknown) {
      const held = counted.get(name)!
      this.#held.set(name, held)
      // It was rewritten before this start: what it holds is taken for what was kept then.
      if (isSparse && !this.#kept.has(name)) this.#kept.set(name, held)
    }
  }

  /** What does not check is not written over: a copy may tell what it was. */
  #damages({ base, bytes }: Segment): readonly Damage[] {
    return this.#state.health.damages.filter(({ position }) => position >= base && position < base + bytes)
  }

  async #drop(segment: Segment): Promise<void> {
    const { segments, index } = this.#state
    const { base, bytes, name } = segment
    // The watermark must not point into what is gone.
    if (index.watermark < base + bytes) await index.flush()
    // So that a later start does not take it for missing. Where there is no room to say so, dropping makes some.
    const said = await this.#noteDropped(segment).catch((error: unknown) => {
      if (error instanceof StorageFullError) return false
      throw error
    })
    await segments.drop(segment)
    this.#kept.delete(name)
    this.#held.delete(name)
    this.#journaled.delete(name)
    if (!said) await this.#noteDropped(segment)
  }

  async #noteDropped({ base, bytes }: Segment): Promise<boolean> {
    const { store } = this.#state
    const after = withDropped(readDropped(store), { from: base, to: base + bytes })
    await store.write([{ table: "meta", key: droppedKey, value: Buffer.from(JSON.stringify(after)) }])
    return true
  }

  /** The stretches of a segment that hold events that are kept, or what the journal needs, in order; none: nothing is. */
  async #live(segment: Segment): Promise<readonly Live[]> {
    const kept = [...(await this.#events(segment)), ...(await this.#journal(segment))]
    if (kept.length === 0) return []
    const { position, bytes } = await this.#head(segment)
    return joined([...(bytes > 0 ? [{ from: position, to: position + bytes }] : []), ...kept])
  }

  async #head({ base, bytes }: Segment): Promise<{ readonly position: number; readonly bytes: number }> {
    return { position: base, bytes: (await this.#state.reader.after(base, base + bytes)) - base }
  }

  async #journal(segment: Segment): Promise<readonly Live[]> {
    const { start } = this.#state.journal
    if (segment.base + segment.bytes <= start) {
      this.#journaled.delete(segment.name)
      return []
    }
    const known = this.#journaled.get(segment.name) ?? (await this.#findJournal(segment))
    this.#journaled.set(segment.name, known)
    return known.filter(({ from }) => from >= start)
  }

  async #findJournal(segment: Segment): Promise<readonly Live[]> {
    const end = segment.base + segment.bytes
    const found: Live[] = []
    for (let at = segment.base; at < end; ) {
      const { journal, next } = await this.#state.reader.stretch(at, end)
      for (const { position, bytes } of journal) found.push({ from: position, to: position + bytes })
      at = next
    }
    return found
  }

  async #events(segment: Segment): Promise<readonly Live[]> {
    const end = segment.base + segment.bytes
    const found: Live[] = []
    let topics = 0
    for (const { tenant, topic } of this.#state.index.topics()) {
      const index = this.#state.index.topic(tenant, topic)
      const from = Math.max(segment.base, index.trimmedTo)
      for (const block of index.blocks(from)) {
        if (block.first >= end) break
        for (let i = block.lowerBound(from); i < block.count && block.positions[i]! < end; i++) {
          found.push({ from: block.positions[i]!, to: block.positions[i]! + block.sizes[i]! })
        }
      }
      if (++topics % topicsAtOnce === 0) await sleep(this.#state.clock, 0)
    }
    return found
  }

  async *#parts(segment: Segment, live: readonly Live[]): AsyncIterable<{ at: number; data: Uint8Array }> {
    const end = segment.base + segment.bytes
    let position = segment.base
    for (const { from, to } of [...live, { from: end, to: end }]) {
      if (from > position) {
        const gap = Buffer.alloc(headerBytes)
        const { salt } = this.#state.segments.identity
        const seals = from === end && this.#state.segments.at(end)?.base === end
        writeGap(gap, 0, from - position, { position, commitStart: position, salt }, seals)
        yield { at: position - segment.base, data: gap }
      }
      for (position = from; position < to; position += pieceBytes) {
        const data = Buffer.alloc(Math.min(pieceBytes, to - position))
        await (await this.#state.segments.file(segment)).read(data, position - segment.base)
        yield { at: position - segment.base, data }
      }
      position = to
    }
  }
}

function joined(parts: Live[]): readonly Live[] {
  const all: Live[] = []
  for (const part of parts.sort((a, b) => a.from - b.from)) {
    const last = all.at(-1)
    if (last !== undefined && last.to >= part.from) last.to = Math.max(last.to, part.to)
    else all.push({ ...part })
  }
  return all
}
