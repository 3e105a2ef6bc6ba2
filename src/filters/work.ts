/** Texts of fewer characters are matched anew each time: what they cost is bounded by how many clauses there are. */
export const longMin = 1024

/** Steps after which it is kept how far one went through an array. */
const grain = 4096

/** Thrown where a turn's work is done and the decision is not: decided anew in the next turn, it goes on from what is kept. */
export class TurnOver extends Error {
  override readonly name = "TurnOver"
}

/**
 * What deciding about one event costs, in steps of a few nanoseconds: a character, an element, a test. Deciding is one call,
 * whatever it takes; where others must have their turn meanwhile, `turn` bounds it. What long parts of it came to is kept,
 * so that the same decision made again takes no more than the rest.
 */
export class Work {
  /** Steps until now. */
  spent = 0
  #end = Number.POSITIVE_INFINITY
  /** This turn has something to show, so that the next will come further. */
  #kept = false
  #results: Map<object, Map<string, unknown>> | undefined
  #places: Map<object, Map<object, Place>> | undefined

  /** From now on, about so many steps; then TurnOver is thrown, once there is something new. Without, there is no end. */
  turn(steps: number): void {
    this.#end = this.spent + steps
    this.#kept = false
  }

  /** Whether the turn's steps are spent. */
  get over(): boolean {
    return this.spent >= this.#end
  }

  /** What `run`, which is pure and takes so many steps, makes of a text; `of` names it. */
  once<Result>(of: object, text: string, steps: number, run: (text: string) => Result): Result {
    if (this.#end === Number.POSITIVE_INFINITY) return run(text)
    this.#results ??= new Map()
    const known = this.#results.get(of) ?? new Map<string, unknown>()
    if (known.has(text)) return known.get(text) as Result
    this.#endTurn()
    this.spent += steps
    const result = run(text)
    this.#results.set(of, known.set(text, result))
    this.#kept = true
    return result
  }

  /**
   * Whether `passes`, which is pure, holds for some element; undefined where it has no answer for any. It is asked up to the
   * first for which it does. `of` names what is asked.
   */
  some<Element>(
    of: object,
    elements: readonly Element[],
    passes: (element: Element) => boolean | undefined,
  ): boolean | undefined {
    const place = this.#places?.get(of)?.get(elements)
    let found = place?.found
    let kept = this.spent
    for (let at = place?.next ?? 0; at < elements.length; at++) {
      this.spent++
      const answer = passes(elements[at]!)
      if (answer === true) return true
      found = answer ?? found
      if (this.spent - kept < grain) continue
      this.#keep(of, elements, { next: at + 1, found })
      kept = this.spent
    }
    return found
  }

  #keep(of: object, elements: object, place: Place): void {
    if (this.#end === Number.POSITIVE_INFINITY) return
    this.#places ??= new Map()
    const places = this.#places.get(of) ?? new Map<object, Place>()
    this.#places.set(of, places.set(elements, place))
    this.#kept = true
    this.#endTurn()
  }

  #endTurn(): void {
    if (this.#kept && this.over) throw new TurnOver()
  }
}

/** How far one went through an array, and what had been found. */
interface Place {
  readonly next: number
  readonly found: boolean | undefined
}

/** Makes a decision in turns of about so many steps, with a rest between any two. */
export async function inTurns<Decision>(
  work: Work,
  steps: number,
  decide: () => Decision,
  rest: () => Promise<void>,
): Promise<Decision> {
  // Ends: every turn keeps something that the next need not do.
  for (;;) {
    work.turn(steps)
    try {
      return decide()
    } catch (error) {
      if (!(error instanceof TurnOver)) throw error
    }
    await rest()
  }
}
