import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { SimulatedChance } from "../src/testing/chance.ts"

export const pageBytes = 4096

/** How many bytes there are before the zeros at the end. */
export function usedBytes(bytes: Uint8Array): number {
  let used = bytes.length
  while (used > 0 && bytes[used - 1] === 0) used--
  return used
}

/** Flips one bit at `at`; says what it did. */
export function flipBit(bytes: Uint8Array, at: number, chance: SimulatedChance): string {
  const bit = chance.between(0, 7)
  bytes[at]! ^= 1 << bit
  return `bit ${bit} of byte ${at} flipped`
}

/** A change of a file's content: answers what it did, having changed the bytes, or the bytes that take their place. */
export type Change = (bytes: Buffer, chance: SimulatedChance) => { readonly what: string; readonly bytes?: Buffer }

export const bit: Change = (bytes, chance) => ({
  what: flipBit(bytes, chance.between(0, Math.max(0, usedBytes(bytes) - 1)), chance),
})

export const bits: Change = (bytes, chance) => {
  const used = usedBytes(bytes)
  const flips = Array.from({ length: chance.between(2, 12) }, () =>
    flipBit(bytes, chance.between(0, Math.max(0, used - 1)), chance),
  )
  return { what: flips.join(", ") }
}

export const fileHead: Change = (bytes, chance) => ({
  what: flipBit(bytes, chance.between(0, Math.min(63, bytes.length - 1)), chance),
})

export const noise: Change = (bytes, chance) => {
  const from = chance.between(0, Math.max(0, usedBytes(bytes) - 1))
  const length = Math.min(bytes.length - from, chance.between(1, 2_000))
  for (let at = from; at < from + length; at++) bytes[at] = chance.between(0, 255)
  return { what: `bytes ${from} to ${from + length} overwritten with noise` }
}

export const truncated: Change = (bytes, chance) => {
  const length = chance.happens(0.2) ? 0 : chance.between(0, Math.max(0, usedBytes(bytes) - 1))
  return { what: `cut to ${length} of ${bytes.length} bytes`, bytes: bytes.subarray(0, length) }
}

export const extended: Change = (bytes, chance) => {
  const more = Buffer.alloc(chance.between(1, 100_000))
  const isNoise = chance.happens(0.5)
  if (isNoise) for (let at = 0; at < more.length; at++) more[at] = chance.between(0, 255)
  return {
    what: `${more.length} bytes of ${isNoise ? "noise" : "zeros"} appended`,
    bytes: Buffer.concat([bytes, more]),
  }
}

function pickPage(bytes: Buffer, chance: SimulatedChance): number {
  return chance.between(0, Math.max(0, Math.ceil(usedBytes(bytes) / pageBytes) - 1)) * pageBytes
}

export const zeroPages: Change = (bytes, chance) => {
  const from = pickPage(bytes, chance)
  const to = Math.min(bytes.length, from + chance.between(1, 4) * pageBytes)
  bytes.fill(0, from, to)
  return { what: `bytes ${from} to ${to} zeroed` }
}

export const swapPages: Change = (bytes, chance) => {
  const [a, b] = [pickPage(bytes, chance), pickPage(bytes, chance)]
  const held = Buffer.from(bytes.subarray(a, a + pageBytes))
  bytes.copyWithin(a, b, b + pageBytes)
  held.copy(bytes, b)
  return { what: `the pages at ${a} and ${b} exchanged` }
}

export const duplicatePage: Change = (bytes, chance) => {
  const [from, to] = [pickPage(bytes, chance), pickPage(bytes, chance)]
  bytes.copyWithin(to, from, from + pageBytes)
  return { what: `the page at ${from} written over the one at ${to}` }
}

/** Does it to a file; says what it did. */
export function changeFile(path: string, change: Change, chance: SimulatedChance): string {
  const before = readFileSync(path)
  const { what, bytes = before } = change(before, chance)
  writeFileSync(path, bytes)
  return what
}

/** A stretch of a file. */
export interface Stretch {
  readonly file: string
  readonly from: number
  readonly to: number
}

const blockBytes = 64

/** Where the files of a folder are not any more what they were, to a block of 64 bytes; what was added is no difference. */
export function differences(before: string, after: string): readonly Stretch[] {
  return readdirSync(before).flatMap((file) => {
    const [old, now] = [readFileSync(join(before, file)), readOrNothing(join(after, file))]
    const found: { file: string; from: number; to: number }[] = []
    for (let from = 0; from < old.length; from += blockBytes) {
      const to = Math.min(old.length, from + blockBytes)
      if (to <= now.length && old.compare(now, from, to, from, to) === 0) continue
      const last = found.at(-1)
      if (last?.to === from) last.to = to
      else found.push({ file, from, to })
    }
    return found
  })
}

function readOrNothing(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}
