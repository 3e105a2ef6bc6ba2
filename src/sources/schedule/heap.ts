/** An item in a heap, until it is taken out of it. */
export interface Placed<Item> {
  readonly item: Item
  readonly at: number
}

interface Node<Item> extends Placed<Item> {
  /** Those of one `at` are in the order in which they came. */
  readonly order: number
  index: number
}

/** Items in order of a number. To add one, or to take out any, costs the logarithm of how many there are. */
export class Heap<Item> {
  readonly #nodes: Node<Item>[] = []
  #orders = 0

  get first(): Placed<Item> | undefined {
    return this.#nodes[0]
  }

  /** Answers what {@link Heap.remove} takes. */
  add(at: number, item: Item): Placed<Item> {
    const node = { item, at, order: this.#orders++, index: this.#nodes.length }
    this.#nodes.push(node)
    this.#up(node)
    return node
  }

  /** Takes out what `add` of this heap has answered; once. */
  remove(placed: Placed<Item>): void {
    const { index } = placed as Node<Item>
    const last = this.#nodes.pop()!
    if (last === placed) return
    this.#place(last, index)
    this.#up(last)
    this.#down(last)
  }

  #up(node: Node<Item>): void {
    while (node.index > 0) {
      const parent = this.#nodes[(node.index - 1) >> 1]!
      if (!isBefore(node, parent)) return
      this.#swap(parent, node)
    }
  }

  #down(node: Node<Item>): void {
    // Ends: at the leaves at the latest.
    for (;;) {
      const left = this.#nodes[2 * node.index + 1]
      const right = this.#nodes[2 * node.index + 2]
      if (left === undefined) return
      const child = right !== undefined && isBefore(right, left) ? right : left
      if (!isBefore(child, node)) return
      this.#swap(node, child)
    }
  }

  /** The upper one goes down to where the lower one is. */
  #swap(upper: Node<Item>, lower: Node<Item>): void {
    const { index } = upper
    this.#place(upper, lower.index)
    this.#place(lower, index)
  }

  #place(node: Node<Item>, index: number): void {
    this.#nodes[index] = node
    node.index = index
  }
}

function isBefore(a: Node<unknown>, b: Node<unknown>): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
