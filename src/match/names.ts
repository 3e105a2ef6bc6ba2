/** Beyond this many known names an event's own are the shorter list, mostly. */
export const manyNames = 16

/** Items by name, side by side while they are few; found by name where they are many. */
export class Names<T> {
  readonly names: string[] = []
  readonly items: T[] = []
  /** Where each is; from more than a few on. */
  #places: Map<string, number> | undefined

  get size(): number {
    return this.names.length
  }

  get(name: string): T | undefined {
    const at = this.#at(name)
    return at === undefined ? undefined : this.items[at]
  }

  ensure(name: string, make: () => T): T {
    const known = this.get(name)
    if (known !== undefined) return known
    const made = make()
    this.#places?.set(name, this.names.length)
    this.names.push(name)
    this.items.push(made)
    if (this.#places === undefined && this.names.length > manyNames) {
      this.#places = new Map(this.names.map((each, at) => [each, at]))
    }
    return made
  }

  delete(name: string): void {
    const at = this.#at(name)
    if (at === undefined) return
    const lastName = this.names.pop()!
    const lastItem = this.items.pop()!
    this.#places?.delete(name)
    if (lastName === name) return
    this.names[at] = lastName
    this.items[at] = lastItem
    this.#places?.set(lastName, at)
  }

  #at(name: string): number | undefined {
    if (this.#places !== undefined) return this.#places.get(name)
    const at = this.names.indexOf(name)
    return at < 0 ? undefined : at
  }
}
