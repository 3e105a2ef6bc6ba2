/** A 64-bit hash in two halves, reused between calls: read it before the next call. */
export interface Hash {
  low: number
  high: number
}

/**
 * Mixes texts into 64 bits (two FNV-1a-like lanes with a final avalanche). Equal texts hash alike; unequal ones collide
 * rarely, so a hit is always confirmed against the event itself.
 */
export function hashInto(hash: Hash, tenant: string, topic: string, source: string, id: string): void {
  let low = 0x811c9dc5
  let high = 0x9747b28c
  for (let part = 0; part < 4; part++) {
    const text = part === 0 ? tenant : part === 1 ? topic : part === 2 ? source : id
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      low = Math.imul(low ^ code, 0x01000193)
      high = Math.imul(high ^ code, 0x5bd1e995)
      high ^= high >>> 15
    }
    low = Math.imul(low ^ 0x1ff, 0x01000193)
    high = Math.imul(high ^ 0x2ff, 0x5bd1e995)
  }
  hash.low = avalanche(low ^ (high >>> 7))
  hash.high = avalanche(high + Math.imul(low, 0x9e3779b1))
}

/** 32 bits of a key; never 0, which stands for no key. */
export function hashKey(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return avalanche(hash) || 1
}

/** Spreads 32 bits over 32 bits. */
export function avalanche(value: number): number {
  let mixed = value
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
