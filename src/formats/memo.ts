/** What is made from a text, remembered for the next time; forgets everything when `max` texts are reached. */
export class Memo<Value> {
  readonly #make: (text: string) => Value
  readonly #max: number
  readonly #textMax: number
  readonly #values = new Map<string, Value>()

  /** Texts longer than `textMax` characters are made anew each time. `make` must be pure. */
  constructor(make: (text: string) => Value, max = 1024, textMax = 512) {
    this.#make = make
    this.#max = max
    this.#textMax = textMax
  }

  of(text: string): Value {
    const known = this.#values.get(text)
    if (known !== undefined) return known
    const made = this.#make(text)
    if (text.length > this.#textMax) return made
    if (this.#values.size >= this.#max) this.#values.clear()
    this.#values.set(text, made)
    return made
  }
}

interface Slot<Value> {
  readonly bytes: Uint8Array
  readonly value: Value
}

/**
 * The same for texts that are still bytes: nothing is decoded for a text that was seen before. Direct-mapped: a newcomer
 * takes the place of the text it collides with. 35 ns for 30 bytes.
 */
export class ByteMemo<Value> {
  readonly #slots: (Slot<Value> | undefined)[]
  readonly #mask: number
  readonly #bytesMax: number

  /** `slots` is a power of two. Texts longer than `bytesMax` are not kept. */
  constructor(slots = 1024, bytesMax = 256) {
    this.#slots = new Array<Slot<Value> | undefined>(slots).fill(undefined)
    this.#mask = slots - 1
    this.#bytesMax = bytesMax
  }

  find(bytes: Uint8Array, start: number, end: number): Value | undefined {
    const slot = this.#slots[hash(bytes, start, end) & this.#mask]
    if (slot === undefined || slot.bytes.length !== end - start) return undefined
    const kept = slot.bytes
    for (let i = 0; i < kept.length; i++) if (kept[i] !== bytes[start + i]) return undefined
    return slot.value
  }

  keep(bytes: Uint8Array, start: number, end: number, value: Value): void {
    if (end - start > this.#bytesMax) return
    this.#slots[hash(bytes, start, end) & this.#mask] = { bytes: Uint8Array.from(bytes.subarray(start, end)), value }
  }
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  let sum = end - start
  for (let i = start; i < end; i++) sum = Math.imul(sum ^ bytes[i]!, 0x01000193)
  return sum ^ (sum >>> 15)
}
