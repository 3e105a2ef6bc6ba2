import { headerBytes, writeGap } from "./record.ts"
import type { Segment } from "./segments.ts"
import type { LogState } from "./state.ts"

/** A segment is rewritten when less than this part of what it takes on the disk is still kept. */
const thinBelow = 0.5
const pieceBytes = 1 << 20

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
    const { segments, writer, index } = this.#state
    const sealed = segments.list.slice(0, -1).filter(({ base, bytes }) => base + bytes <= writer.durable)
    for (const segment of sealed) {
      if (segment.base + segment.bytes <= from || segment.base >= to) continue
      const live = this.#live(segment)
      const kept = live.reduce((sum, part) => sum + part.to - part.from, 0)
      if (kept === 0) {
        // The watermark must not point into what is gone.
        if (index.watermark < segment.base + segment.bytes) await index.flush()
        await segments.drop(segment)
        this.#kept.delete(segment.name)
      } else if (kept < thinBelow * (this.#kept.get(segment.name) ?? segment.bytes)) {
        await segments.thin(segment, this.#parts(segment, live))
        this.#kept.set(segment.name, kept)
      } else continue
      this.#state.reader.forget(segment)
    }
  }

  /** The stretches of a segment that hold events that are kept, in order. */
  #live(segment: Segment): readonly Live[] {
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
    found.sort((a, b) => a.from - b.from)
    const joined: Live[] = []
    for (const part of found) {
      const last = joined.at(-1)
      if (last !== undefined && last.to === part.from) last.to = part.to
      else joined.push(part)
    }
    return joined
  }

  async *#parts(segment: Segment, live: readonly Live[]): AsyncIterable<{ at: number; data: Uint8Array }> {
    const end = segment.base + segment.bytes
    let position = segment.base
    for (const { from, to } of [...live, { from: end, to: end }]) {
      if (from > position) {
        const gap = Buffer.alloc(headerBytes)
        writeGap(gap, 0, from - position, position)
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
