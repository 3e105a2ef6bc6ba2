/** Where a subscription stands. */
export interface Place {
  readonly cursor: string
  readonly epoch: number
}

/** What is asked of a position. */
export type Move =
  | { readonly kind: "commit"; readonly cursor: string; readonly expected?: Place }
  | { readonly kind: "reset"; readonly cursor: string }

/** A move, and what was answered; undefined: nobody knows whether it was made. */
export interface Answered {
  readonly move: Move
  readonly status: number | undefined
}

/** What a move comes to, and where the subscription stands then. Cursors of one log sort as text. */
function resultOf(at: Place, move: Move): { readonly status: number; readonly place: Place } {
  const { cursor } = move
  if (move.kind === "reset") return { status: 200, place: { cursor, epoch: at.epoch + 1 } }
  const { expected } = move
  if (expected !== undefined && expected.epoch !== at.epoch) return { status: 412, place: at }
  if (cursor === at.cursor) return { status: 200, place: at }
  if (expected !== undefined && expected.cursor !== at.cursor) return { status: 412, place: at }
  return cursor < at.cursor ? { status: 409, place: at } : { status: 200, place: { ...at, cursor } }
}

function endsOf(at: Place, [first, ...rest]: readonly Answered[]): readonly Place[] {
  if (first === undefined) return [at]
  const { status, place } = resultOf(at, first.move)
  return [
    ...(first.status === undefined || first.status === status ? endsOf(place, rest) : []),
    ...(first.status === undefined ? endsOf(at, rest) : []),
  ]
}

/** What is known of a position, from outside: exactly, or as one of several where an answer was lost. */
export class PositionModel {
  #possible: readonly Place[] | undefined
  /** The last one that was seen. */
  #seen: Place | undefined
  /** Where reading on would begin, and a place that it stood at once. */
  next: string | undefined
  earlier: Place | undefined
  /** When something was learnt of it. */
  knownAt = Number.NEGATIVE_INFINITY

  /** Undefined where it is not known. */
  get place(): Place | undefined {
    return this.#possible?.length === 1 ? this.#possible[0] : undefined
  }

  /** It may be anywhere: another one, or moved who knows where. */
  forget(): void {
    this.#possible = undefined
    this.#seen = undefined
    this.next = undefined
    this.earlier = undefined
  }

  /** Why it cannot be so: it was seen here. */
  see({ cursor, epoch }: Place): string | undefined {
    const so = { cursor, epoch }
    const fault = this.#faultOf(so)
    if (this.#seen?.cursor !== cursor) this.earlier = this.#seen
    this.#seen = so
    this.#possible = [so]
    return fault
  }

  #faultOf({ cursor, epoch }: Place): string | undefined {
    const may = this.#possible
    if (may !== undefined && !may.some((each) => each.cursor === cursor && each.epoch === epoch))
      return `it stands at ${cursor} of epoch ${epoch}, and can only be at ${JSON.stringify(may)}`
    const seen = this.#seen
    if (seen === undefined || epoch > seen.epoch || (epoch === seen.epoch && cursor >= seen.cursor)) return undefined
    return `it stands at ${cursor} of epoch ${epoch}, and was at ${JSON.stringify(seen)}`
  }

  /** Why these cannot have been answered so, asked at once. */
  moved(answered: readonly Answered[]): string | undefined {
    if (this.#possible === undefined) return undefined
    const before = this.#possible
    const orders = answered.length === 1 ? [answered] : [answered, answered.toReversed()]
    const ends = before.flatMap((at) => orders.flatMap((order) => endsOf(at, order)))
    this.#possible = ends.length === 0 ? undefined : ends
    if (ends.length > 0) return undefined
    return `${JSON.stringify(answered)} cannot be what comes of it at ${JSON.stringify(before)}`
  }
}
