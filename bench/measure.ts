import { median } from "./load.ts"

/** One line of results: `ratio` is figure by baseline, or baseline by figure where less is better. */
export interface Measure {
  readonly scenario: string
  readonly figure: number
  readonly unit: string
  readonly baseline: number
  readonly ratio: number
}

export interface BenchOptions {
  /** Ends within 40 s; the figures are rougher. */
  readonly quick: boolean
  /** How many events, where a scenario is about many; default: as many as it says. */
  readonly events?: number
}

/** One scenario: its measures, as they come. */
export type Scenario = (options: BenchOptions) => AsyncIterable<Measure>

export function measure(
  scenario: string,
  unit: string,
  figure: number,
  baseline: number,
  lessIsBetter = false,
): Measure {
  const ratio = lessIsBetter ? baseline / figure : figure / baseline
  return { scenario, unit, figure: round(figure), baseline: round(baseline), ratio: round(ratio) }
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}

/** Runs both in turn, A B A B, and answers what each gave, round by round. */
export async function inTurn<A, B>(rounds: number, a: () => Promise<A>, b: () => Promise<B>): Promise<[A[], B[]]> {
  const as: A[] = []
  const bs: B[] = []
  for (let round = 0; round < rounds; round++) {
    as.push(await a())
    bs.push(await b())
  }
  return [as, bs]
}

export function medianOf<T>(items: readonly T[], figure: (item: T) => number): number {
  return median(items.map(figure))
}
