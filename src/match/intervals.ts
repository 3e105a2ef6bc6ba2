import type { Matching, Slot } from "./matching.ts"

/** A range of numbers; a limit that is not there is infinite. */
export interface Interval {
  readonly low: number
  readonly lowOpen: boolean
  readonly high: number
  readonly highOpen: boolean
}

interface TreeNode<S> {
  readonly interval: Interval
  readonly slot: S
  readonly priority: number
  /** The highest limit in this subtree. */
  max: number
  left: TreeNode<S> | undefined
  right: TreeNode<S> | undefined
}

/**
 * Slots by interval: a treap in order of the lower limit that knows each subtree's highest limit, so that the intervals
 * around a number are found in time logarithmic in all intervals and linear in those found.
 */
export class Intervals<S extends Slot> {
  #root: TreeNode<S> | undefined
  readonly #byText = new Map<string, S>()
  #added = 0

  get empty(): boolean {
    return this.#root === undefined
  }

  get(interval: Interval): S | undefined {
    return this.#byText.get(textOf(interval))
  }

  add(interval: Interval, slot: S): void {
    this.#byText.set(textOf(interval), slot)
    const priority = Math.imul(++this.#added, 0x9e3779b1) >>> 0
    const node: TreeNode<S> = { interval, slot, priority, max: interval.high, left: undefined, right: undefined }
    this.#root = insert(this.#root, node)
  }

  delete(interval: Interval): void {
    this.#byText.delete(textOf(interval))
    this.#root = remove(this.#root, interval)
  }

  collect(value: number, matching: Matching): void {
    collectFrom(this.#root, value, matching)
  }
}

function collectFrom<S extends Slot>(root: TreeNode<S> | undefined, value: number, matching: Matching): void {
  let node = root
  while (node !== undefined && node.max >= value) {
    collectFrom(node.left, value, matching)
    const { low, lowOpen, high, highOpen } = node.interval
    if (low > value) return
    const above = lowOpen ? value > low : value >= low
    const below = highOpen ? value < high : value <= high
    if (above && below) node.slot.collect(matching)
    node = node.right
  }
}

function textOf({ low, lowOpen, high, highOpen }: Interval): string {
  return `${lowOpen ? "(" : "["}${low},${high}${highOpen ? ")" : "]"}`
}

function order(a: Interval, b: Interval): number {
  return (
    compare(a.low, b.low) ||
    compare(a.high, b.high) ||
    Number(a.lowOpen) - Number(b.lowOpen) ||
    Number(a.highOpen) - Number(b.highOpen)
  )
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function insert<S>(root: TreeNode<S> | undefined, node: TreeNode<S>): TreeNode<S> {
  if (root === undefined) return node
  if (node.priority > root.priority) {
    const [left, right] = split(root, node.interval)
    node.left = left
    node.right = right
    return measured(node)
  }
  if (order(node.interval, root.interval) < 0) root.left = insert(root.left, node)
  else root.right = insert(root.right, node)
  return measured(root)
}

/** What is before the interval, and what is not. */
function split<S>(root: TreeNode<S> | undefined, at: Interval): [TreeNode<S> | undefined, TreeNode<S> | undefined] {
  if (root === undefined) return [undefined, undefined]
  if (order(root.interval, at) < 0) {
    const [left, right] = split(root.right, at)
    root.right = left
    return [measured(root), right]
  }
  const [left, right] = split(root.left, at)
  root.left = right
  return [left, measured(root)]
}

function remove<S>(root: TreeNode<S> | undefined, interval: Interval): TreeNode<S> | undefined {
  if (root === undefined) return undefined
  const side = order(interval, root.interval)
  if (side === 0) return join(root.left, root.right)
  if (side < 0) root.left = remove(root.left, interval)
  else root.right = remove(root.right, interval)
  return measured(root)
}

function join<S>(left: TreeNode<S> | undefined, right: TreeNode<S> | undefined): TreeNode<S> | undefined {
  if (left === undefined) return right
  if (right === undefined) return left
  if (left.priority > right.priority) {
    left.right = join(left.right, right)
    return measured(left)
  }
  right.left = join(left, right.left)
  return measured(right)
}

function measured<S>(node: TreeNode<S>): TreeNode<S> {
  const left = node.left?.max ?? Number.NEGATIVE_INFINITY
  const right = node.right?.max ?? Number.NEGATIVE_INFINITY
  node.max = Math.max(node.interval.high, left, right)
  return node
}
