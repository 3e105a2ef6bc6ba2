import type { Chance, Clock } from "../core/clock.ts"

/** Chance from a seed: the same seed and the same questions give the same answers. */
export interface SimulatedChance extends Chance {
  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number
  /** Whether something happens that happens with this probability (0 to 1). */
  happens(probability: number): boolean
  /** One of them. */
  pick<T>(items: readonly T[]): T
  /** A stream of its own, by name: what is asked of it changes nothing here. */
  fork(name: string): SimulatedChance
}

/** Crockford's alphabet: no I, L, O or U, in ASCII order. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

/** Chance that begins at `seed` (any text or number); `clock` is only for the time in its ids. */
export function createSimulatedChance(seed: string | number, clock?: Clock): SimulatedChance {
  const bits = sfc32(...hash128(String(seed)))
  const next = () => bits() / 0x1_0000_0000
  return {
    next,
    id() {
      let text = ""
      for (let time = clock?.now() ?? 0, i = 0; i < 10; i++, time = Math.floor(time / 32))
        text = alphabet[time % 32] + text
      for (let i = 0; i < 16; i++) text += alphabet[bits() % 32]
      return text
    },
    between: (min, max) => min + Math.floor(next() * (max - min + 1)),
    happens: (probability) => next() < probability,
    pick(items) {
      if (items.length === 0) throw new RangeError("nothing to pick from")
      return items[Math.floor(next() * items.length)]!
    },
    fork: (name) => createSimulatedChance(`${seed}/${name}`, clock),
  }
}

/** Four 32-bit words out of a text: FNV-1a, each from another start, then mixed. */
function hash128(text: string): [number, number, number, number] {
  const word = (start: number): number => {
    let hash = start
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
    return (hash ^ (hash >>> 16)) >>> 0
  }
  return [word(0x811c_9dc5), word(0x1234_5678), word(0x9e37_79b9), word(0x7f4a_7c15)]
}

/** Small Fast Counter, 32 bits: 128 bits of state, a period of at least 2^32, and fast in JavaScript. */
function sfc32(a: number, b: number, c: number, counter: number): () => number {
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  return next
}
