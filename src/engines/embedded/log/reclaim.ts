import { StorageFullError } from "../../../core/errors.ts"
import { type Dropped, withDropped } from "./chain.ts"
import { headerBytes, writeGap } from "./record.ts"
import type { Segment } from "./segments.ts"
import type { LogState } from "./state.ts"

/** A segment is rewritten when less than this part of what it takes on the disk is still kept. */
const thinBelow = 0.5
const pieceBytes = 1 << 20

/** Under which the stretches are kept, in the journal's `meta`, that retention gave back. */
export const droppedKey = "dropped"

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
  readonly #kept = new Map<string, number>()
  /** Where a sealed segment holds the journal. */
  readonly #journaled = new Map<string, readonly Live[]>()
  #running: Promise<void> = Promise.resolve()

  constructor(state: LogState) {
    this.#state = state
  }

  /** After events between `from` and `to` were dropped. */
  run(from: number, to: number): Promise<void> {
    this.#running = this.#running.catch(() => {}).then(() => this.#reclaim(from, to))
    return this.#running
  }

  async #reclaim(from: number, to: number): Promise<void> {
    const { segments, writer } = this.#state
    const sealed = segments.list.slice(0, -1).filter(({ base, bytes }) => base + bytes <= writer.durable)
    for (const segment of sealed) {
      if (segment.base + segment.bytes <= from || segment.base >= to) continue
      const live = await this.#live(segment)
      const kept = live.reduce((sum, part) => sum + part.to - part.from, 0)
      if (kept === 0) {
        await this.#drop(segment)
      } else if (kept < thinBelow * (this.#kept.get(segment.name) ?? segment.bytes)) {
        await segments.thin(segment, this.#parts(segment, live))
        this.#kept.set(segment.name, kept)
      } else continue
      this.#state.reader.forget(segment)
    }
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
    this.#journaled.delete(name)
    if (!said) await this.#noteDropped(segment)
  }

  async #noteDropped({ base, bytes }: Segment): Promise<boolean> {
    const { store } = this.#state
    const stored = store.get("meta", droppedKey)
    const before = stored === undefined ? [] : (JSON.parse(Buffer.from(stored).toString("utf8")) as readonly Dropped[])
    const after = withDropped(before, { from: base, to: base + bytes })
    await store.write([{ table: "meta", key: droppedKey, value: Buffer.from(JSON.stringify(after)) }])
    return true
  }

  /** The stretches of a segment that hold events that are kept, or what the journal needs, in order; none: nothing is. */
  async #live(segment: Segment): Promise<readonly Live[]> {
    const kept = [...this.#events(segment), ...(await this.#journal(segment))]
    if (kept.length === 0) return []
    const { position, bytes } = await this.#head(segment)
    return joined([...(bytes > 0 ? [{ from: position, to: position + bytes }] : []), ...kept])
  }

  async #head({ base, bytes }: Segment): Promise<{ readonly position: number; readonly bytes: number }> {
    return { position: base, bytes: (await this.#state.reader.after(base, base + bytes)) - base }
  }

  async #journal(segment: Segment): Promise<readonly Live[]> {
    const { start } = this.#state.journal
    if (segment.base + segment.bytes <= start) return []
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

  #events(segment: Segment): readonly Live[] {
    const end = segment.base + segment.bytes
    const found: Live[] = []
    for (const { tenant, topic } of this.#state.index.topics()) {
      const index = this.#state.index.topic(tenant, topic)
      const from = Math.max(segment.base, index.trimmedTo)
      for (const block of index.blocks(from)) {
        if (block.first >= end) break
        for (let i = block.lowerBound(from); i < block.count && block.positions[i]! < end; i++) {
          found.push({ from: block.positions[i]!, to: block.positions[i]! + block.sizes[i]! })
        }
      }
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
        writeGap(gap, 0, from - position, { position, commitStart: position, salt })
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
