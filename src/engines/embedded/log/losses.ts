import { isIndexed } from "../../parts/index/log-index.ts"
import type { Store, Write } from "../../parts/store.ts"
import { type Missing, without } from "./chain.ts"
import { type Damage, damageIn, type Reader } from "./reader.ts"
import { claimedBytes, headerBytes } from "./record.ts"
import { fill } from "./recovery.ts"
import type { Segment, Segments } from "./segments.ts"

/** Under which they are kept, in the journal's `meta`. */
export const lossesKey = "losses"
const keptMax = 1_000

/** What was found to be lost before. */
export interface Losses {
  readonly left: readonly Damage[]
  /** What is there again: a copy has brought it back. */
  readonly found: readonly Damage[]
}

/** What is lost still of what was found to be lost before, and what is there again. What retention has given back is neither. */
export async function review(losses: readonly Damage[], segments: Segments, reader: Reader): Promise<Losses> {
  const left: Damage[] = []
  const found: Damage[] = []
  const bad = new Map<Segment, readonly Damage[]>()
  for (const loss of losses) {
    const segment = segments.at(loss.position)
    if (loss.kind === "missing") {
      const parts = without(stretchOf(loss), segments.list.map(ofSegment)).map((part) => partOf(loss, part))
      left.push(...parts)
      if (JSON.stringify(parts) !== JSON.stringify([partOf(loss, stretchOf(loss))])) found.push(loss)
    } else if (segment === undefined) {
      // With its segment retention has given back what was left of it, where it is known what that was.
      if (loss.isUnindexed) left.push(loss)
    } else {
      const known = bad.get(segment) ?? (await unreadable(segment, reader))
      bad.set(segment, known)
      const isThere = loss.kind === "damaged" && (await isFound(loss, segment, known, reader))
      if (isThere) found.push(loss)
      else left.push(loss)
    }
  }
  return { left, found }
}

/**
 * A segment that was found to be lost, and that a copy has brought back, may not have been full, and is not the one any more
 * that is written to. Ends those where their records end; answers the rest of them, which is no damage.
 */
export async function endRestored(
  losses: readonly Damage[],
  segments: Segments,
  { reader, store }: { readonly reader: Reader; readonly store: Store },
): Promise<readonly Damage[]> {
  const ended: Damage[] = []
  const all = losses.filter(({ kind }) => kind !== "unfinished")
  for (const segment of segments.list.slice(0, -1)) {
    const before = all.filter((loss) => overlap(stretchOf(loss), ofSegment(segment)))
    if (before.length === 0) continue
    const last = (await unreadable(segment, reader)).at(-1)
    if (last === undefined || !(await isUnused(last, segment, segments))) continue
    // Records have come back up to here.
    if (last.position === segment.base || before.every(({ position }) => position >= last.position)) continue
    // An older copy lacks what came later.
    const rest = stretchOf(last)
    const isLacking = before.some(({ kind, position }) => kind === "damaged" && position === rest.from)
    if (isLacking || isIndexed(store, rest.from, rest.to)) continue
    await fill(segments, segment, rest.from, rest.to)
    ended.push(last)
  }
  return ended
}

/** Whether it reaches to the segment's end, and no record begins it. What a file is too short for tells nothing. */
async function isUnused({ position, to }: Damage, segment: Segment, segments: Segments): Promise<boolean> {
  if (segment.isCut || to !== segment.bytes || segment.base + to - position < headerBytes) return false
  const head = Buffer.alloc(headerBytes)
  await (await segments.file(segment)).read(head, position - segment.base)
  return claimedBytes(head, 0) === 0
}

interface Stretch {
  readonly from: number
  readonly to: number
}

function stretchOf({ position, from, to }: Damage): Stretch {
  return { from: position, to: position + to - from }
}

function ofSegment({ base, bytes }: Segment): Stretch {
  return { from: base, to: base + bytes }
}

function overlap(a: Stretch, b: Stretch): boolean {
  return a.from < b.to && b.from < a.to
}

function partOf({ kind, segment, isUnsure }: Damage, { from, to }: Stretch): Damage {
  return { kind, segment, position: from, from: 0, to: to - from, ...(isUnsure && { isUnsure }) }
}

async function isFound(loss: Damage, segment: Segment, bad: readonly Damage[], reader: Reader): Promise<boolean> {
  const { from, to } = stretchOf(loss)
  if (bad.some((other) => overlap(stretchOf(other), { from, to }))) return false
  // A gap that begins here is what was laid over it.
  const { next } = await reader.checked(segment, from, segment.base + segment.bytes)
  return next === from || (await reader.holds(from))
}

/** The stretches of a segment that do not check. */
async function unreadable(segment: Segment, reader: Reader): Promise<readonly Damage[]> {
  const end = segment.base + segment.bytes
  const found: Damage[] = []
  for (let at = segment.base; at < end; ) {
    const { next } = await reader.checked(segment, at, end)
    if (next > at) {
      at = next
      continue
    }
    const behind = (await reader.findRecord(segment, at + 8, end))?.position ?? end
    found.push(damageIn(segment, at, behind))
    at = behind
  }
  return found
}

/** What was found to be lost before. */
export function rememberedLosses(store: Store): readonly Damage[] {
  const stored = store.get("meta", lossesKey)
  return stored === undefined ? [] : (JSON.parse(Buffer.from(stored).toString("utf8")) as readonly Damage[])
}

export function lossesWrite(losses: readonly Damage[]): Write {
  return { table: "meta", key: lossesKey, value: Buffer.from(JSON.stringify(losses.slice(0, keptMax))) }
}

export function missing({ from, to, name, isUnsure }: Missing): Damage {
  return { kind: "missing", segment: name, position: from, from: 0, to: to - from, ...(isUnsure && { isUnsure }) }
}

/** Damage of which the index does not know what was in it. What was never finished writing was nobody's. */
export function unindexed(damage: Damage): Damage {
  return damage.kind === "unfinished" ? damage : { ...damage, isUnindexed: true }
}
