import type { Cursor } from "../src/core/cursor.ts"
import { parseCursor } from "../src/engines/embedded/log/cursor.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { SimulatedDisk } from "../src/testing/disk.ts"

/** Places of the log: from the first on, before the second. */
type Stretch = readonly [from: number, to: number]

/** What was done to the log, and what the hub has said of it: nothing may be missing but what is both. */
export class NamedDamage {
  readonly #named: Stretch[] = []
  readonly #done: Stretch[] = []
  /** How often something was done. */
  count = 0
  /** Files that may hold what belongs to another. */
  readonly exchanged = new Set<string>()
  /** Something of the hub's own is damaged: of resources and deliveries it may know what was so before. */
  ofState = false

  /** Something is done to the log. */
  does({ stretch, exchanged = [] }: Harm): void {
    this.count++
    for (const name of exchanged) this.exchanged.add(name)
    if (stretch) this.#done.push(stretch)
  }

  /** Hears what the hub says while it starts. */
  notice(line: string): void {
    if (line.startsWith("the hub's own records")) this.ofState = true
  }

  /** Hears what the hub says of its health. */
  hear(line: string): void {
    const [, from, to] = /^(?:damaged|missing): .*cursors (\w{11}) to (\w{11})/.exec(line) ?? []
    if (from !== undefined && to !== undefined) this.#named.push([parseCursor(from), parseCursor(to)])
  }

  /** Whether what was at this place may be missing. */
  covers(cursor: Cursor): boolean {
    const position = parseCursor(cursor)
    return [this.#named, this.#done].every((list) => list.some(([from, to]) => position >= from && position <= to))
  }
}

/** Something that was done to the log's files. */
export interface Harm {
  readonly kind: "flipped bits" | "shortened segments" | "removed segments" | "exchanged segments"
  /** For the trace. */
  readonly what: string
  /** What may be missing because of it; absent: nothing. */
  readonly stretch?: Stretch
  readonly exchanged?: readonly string[]
}

/** What lies so near the end may be of a write that was torn, and is not told from one that never was acknowledged. */
const tailBytes = 256 * 1024
/** No record of a run is larger. */
const recordBytesMax = 32 * 1024

interface SegmentFile {
  readonly name: string
  readonly base: number
  readonly bytes: number
}

/** Does something to what was stored a while ago; undefined where there is nothing. */
export function harmSomething(disk: SimulatedDisk, chance: SimulatedChance, damage: NamedDamage): Harm | undefined {
  const old = oldSegments(disk).filter(({ name }) => !damage.exchanged.has(name))
  if (old.length === 0) return undefined
  return chance.pick([flip, flip, shorten, remove, exchange])(disk, chance, old)
}

function oldSegments(disk: SimulatedDisk): readonly SegmentFile[] {
  const segments = disk
    .files()
    .filter(({ name }) => /^\w{11}\.segment$/.test(name))
    .map(({ name, bytes }) => ({ name, bytes, base: parseCursor(name.slice(0, 11)) }))
  const end = Math.max(0, ...segments.map(({ base, bytes }) => base + bytes))
  return segments.filter(({ base, bytes }) => base + bytes <= end - tailBytes).sort((a, b) => a.base - b.base)
}

type Inflict = (disk: SimulatedDisk, chance: SimulatedChance, old: readonly SegmentFile[]) => Harm

const flip: Inflict = (disk, chance, old) => {
  const { name, base, bytes } = chance.pick(old)
  const at = chance.between(0, bytes - 1)
  disk.flipBit(name, at, chance.between(0, 7))
  return {
    kind: "flipped bits",
    what: `${name} at ${at}`,
    stretch: [base + at - recordBytesMax, base + at + recordBytesMax],
  }
}

const shorten: Inflict = (disk, chance, old) => {
  const { name, base, bytes } = chance.pick(old)
  const left = chance.between(0, bytes - 1)
  disk.truncate(name, left)
  return {
    kind: "shortened segments",
    what: `${name} from ${bytes} to ${left}`,
    stretch: [base + left - recordBytesMax, base + bytes],
  }
}

const remove: Inflict = (disk, chance, old) => {
  const { name, base, bytes } = chance.pick(old)
  disk.remove(name)
  return { kind: "removed segments", what: name, stretch: [base, base + bytes] }
}

const exchange: Inflict = (disk, chance, old) => {
  const [one, other] = [chance.pick(old), chance.pick(old)]
  disk.exchange(one.name, other.name)
  const exchanged = [one.name, other.name]
  return { kind: "exchanged segments", what: exchanged.join(" and "), exchanged }
}
