import type { StoredKey } from "./keys.ts"

/** The keys that are known, by the hash that a caller's key comes to: a guess costs one look, however many there are. */
export class KeyRing {
  readonly #hashes = new Map<string, string>()
  readonly #byHash = new Map<string, Map<string, StoredKey>>()

  /** `place` is the key's own in the catalog. */
  put(place: string, key: StoredKey): void {
    this.delete(place)
    this.#hashes.set(place, key.sha256)
    const same = this.#byHash.get(key.sha256) ?? new Map<string, StoredKey>()
    this.#byHash.set(key.sha256, same.set(place, key))
  }

  delete(place: string): void {
    const hash = this.#hashes.get(place)
    if (hash === undefined) return
    this.#hashes.delete(place)
    const same = this.#byHash.get(hash)
    same?.delete(place)
    if (same?.size === 0) this.#byHash.delete(hash)
  }

  /**
   * The key of this hash, in hex. How long it takes may tell something of the hash, but nothing of the key: nobody can
   * choose keys by the beginning of their SHA-256, nor get from that to the 256 random bits.
   */
  find(hash: string): StoredKey | undefined {
    return this.#byHash.get(hash)?.values().next().value
  }
}
