/** Who waits, by how much there must be for it: each change and each look takes constant time, averaged. */
export class Waiting<T> {
  readonly #byNeed = new Map<number, Set<T>>()
  readonly #needs = new Map<T, number>()
  /** Nobody needs less. */
  #least = 0

  get size(): number {
    return this.#needs.size
  }

  /** `need`: a whole number. Who waits already, for another need, comes behind those that have it. */
  put(who: T, need: number): void {
    if (this.#needs.get(who) === need) return
    this.delete(who)
    this.#needs.set(who, need)
    const those = this.#byNeed.get(need)
    if (those) those.add(who)
    else this.#byNeed.set(need, new Set([who]))
    this.#least = this.#needs.size === 1 ? need : Math.min(this.#least, need)
  }

  delete(who: T): void {
    const need = this.#needs.get(who)
    if (need === undefined) return
    this.#needs.delete(who)
    const those = this.#byNeed.get(need)!
    those.delete(who)
    if (those.size === 0) this.#byNeed.delete(need)
  }

  /** Who needs least, of these who came first; undefined: nobody waits. */
  first(): { readonly who: T; readonly need: number } | undefined {
    if (this.#needs.size === 0) return undefined
    // Ends: somebody waits, and nobody needs less than the least.
    while (!this.#byNeed.has(this.#least)) this.#least++
    const [who] = this.#byNeed.get(this.#least)!
    return { who: who!, need: this.#least }
  }
}
