type Key = string | number | boolean | null

/** Entries before a map is divided. Making room in a map of 8,192 takes about a millisecond; of 100,000, 20 ms. */
const divideAt = 8192

/** Into how many maps: each stays small with 100,000 entries. */
const parts = 32

/** A map without long pauses: where it grows large it is many small ones, so that none takes long to make room. */
export class WideMap<V> {
  #whole: Map<Key, V> | undefined = new Map()
  #parts: Map<Key, V>[] | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: Key): V | undefined {
    return this.#whole !== undefined ? this.#whole.get(key) : this.#parts![partOf(key)]!.get(key)
  }

  set(key: Key, value: V): void {
    const map = this.#whole ?? this.#parts![partOf(key)]!
    const before = map.size
    map.set(key, value)
    this.#size += map.size - before
    if (map === this.#whole && map.size > divideAt) this.#divide(map)
  }

  delete(key: Key): boolean {
    const deleted = (this.#whole ?? this.#parts![partOf(key)]!).delete(key)
    if (deleted) this.#size--
    return deleted
  }

  #divide(whole: Map<Key, V>): void {
    const divided = Array.from({ length: parts }, () => new Map<Key, V>())
    for (const [key, value] of whole) divided[partOf(key)]!.set(key, value)
    this.#parts = divided
    this.#whole = undefined
  }
}

/** Keys that people count up differ at their end. */
function partOf(key: Key): number {
  if (typeof key === "number") return (key ^ (key >> 8)) & (parts - 1)
  const text = typeof key === "string" ? key : String(key)
  let hash = text.length
  for (let at = Math.max(0, text.length - 3); at < text.length; at++)
    hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  return hash & (parts - 1)
}
