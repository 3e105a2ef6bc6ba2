/** Texts are given room in units of so many characters. */
const grain = 8

/**
 * Texts by number, above 0, side by side in one array: to compare with one of a hundred thousand texts that lie wherever
 * the heap has put them costs several times as much.
 */
export class Texts {
  /** Each text's length, then its characters. */
  #codes = new Uint16Array(16 * grain)
  #end = 1
  /** Room that is free again, by how many grains. */
  readonly #free: number[][] = []

  /** Keeps a text of up to 65,535 characters. */
  add(text: string): number {
    const grains = grainsOf(text.length)
    const number = this.#free[grains]?.pop() ?? this.#extend(grains)
    const codes = this.#codes
    const start = number * grain
    codes[start] = text.length
    for (let at = 0; at < text.length; at++) codes[start + 1 + at] = text.charCodeAt(at)
    return number
  }

  #extend(grains: number): number {
    const number = this.#end
    this.#end += grains
    if (this.#end * grain > this.#codes.length) {
      const codes = new Uint16Array(Math.max(this.#codes.length * 2, this.#end * grain))
      codes.set(this.#codes)
      this.#codes = codes
    }
    return number
  }

  /** Its number is free for another. */
  delete(number: number): void {
    const grains = grainsOf(this.#codes[number * grain]!)
    while (this.#free.length <= grains) this.#free.push([])
    this.#free[grains]!.push(number)
  }

  /** Whether it is the part of a text that begins at `from` and is `length` long. */
  equals(number: number, text: string, from: number, length: number): boolean {
    const codes = this.#codes
    const start = number * grain
    if (codes[start] !== length) return false
    for (let at = 0; at < length; at++) {
      if (codes[start + 1 + at] !== text.charCodeAt(from + at)) return false
    }
    return true
  }
}

function grainsOf(length: number): number {
  return Math.floor(length / grain) + 1
}
