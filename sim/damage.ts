import type { Cursor } from "../src/core/cursor.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { SimulatedDisk } from "../src/testing/disk.ts"

/** What the hub has said to be damaged: nothing else may be missing. */
export class NamedDamage {
  readonly #ranges: { readonly from: string; readonly to: string }[] = []
  /** Bits that were flipped. */
  flips = 0
  /** Something of the hub's own is damaged: of resources and deliveries it may know what was so before. */
  ofState = false

  /** Hears what the hub says while it starts. */
  notice(line: string): void {
    if (line.startsWith("the hub's own records")) this.ofState = true
  }

  /** Hears what the hub says of its health. */
  hear(line: string): void {
    const [, from, to] = /cursors (\w{11}) to (\w{11})/.exec(line) ?? []
    if (from !== undefined && to !== undefined) this.#ranges.push({ from, to })
  }

  covers(cursor: Cursor): boolean {
    return this.#ranges.some(({ from, to }) => cursor >= from && cursor <= to)
  }
}

/** What lies so near the end may be of a write that was torn, and is not told from one that never was acknowledged. */
const tailBytes = 256 * 1024

/** Flips a bit somewhere in what was stored a while ago; false where there is none. */
export function flipSomewhere(disk: SimulatedDisk, chance: SimulatedChance): string | undefined {
  const segments = disk.files().filter(({ name }) => /^\w{11}\.segment$/.test(name))
  const ends = segments.map(({ name, bytes }) => baseOf(name) + bytes)
  const old = segments.filter(({ name, bytes }) => baseOf(name) + bytes <= Math.max(0, ...ends) - tailBytes)
  if (old.length === 0) return undefined
  const { name, bytes } = chance.pick(old.sort((a, b) => (a.name < b.name ? -1 : 1)))
  const at = chance.between(0, bytes - 1)
  disk.flipBit(name, at, chance.between(0, 7))
  return `${name} at ${at}`
}

function baseOf(name: string): number {
  return Number.parseInt(name.slice(0, 11), 36)
}
