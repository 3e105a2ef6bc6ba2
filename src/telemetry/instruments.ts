import type { MetricObjectWithValues, MetricValue } from "prom-client"

/**
 * Instruments that cost an addition when something happens and are turned into series when somebody asks: prom-client's
 * own look their labels up by a string that they build for every call.
 */
export interface Instrument {
  readonly name: string
  get(): Promise<MetricObjectWithValues<MetricValue<string>>>
  /** For the registry: forgets all. */
  reset(): void
}

/** Label values that an instrument tells apart; what comes later is counted together under `(other)`. */
export const seriesMax = 200
export const otherLabel = "(other)"

export interface InstrumentOptions {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
}

/** Numbers by label values, a bounded number of them. */
class Cells<Cell> {
  readonly #cells = new Map<string, { readonly values: readonly string[]; readonly cell: Cell }>()
  readonly #make: () => Cell

  constructor(make: () => Cell) {
    this.#make = make
  }

  of(values: readonly string[]): Cell {
    const key = values.length === 1 ? values[0]! : values.join("\n")
    return this.#cells.get(key)?.cell ?? this.#add(key, values)
  }

  #add(key: string, values: readonly string[]): Cell {
    if (this.#cells.size >= seriesMax && !values.includes(otherLabel)) return this.of(values.map(() => otherLabel))
    const cell = this.#make()
    this.#cells.set(key, { values: [...values], cell })
    return cell
  }

  *[Symbol.iterator](): Iterator<readonly [readonly string[], Cell]> {
    for (const { values, cell } of this.#cells.values()) yield [values, cell]
  }

  clear(): void {
    this.#cells.clear()
  }
}

/** Counts up, by labels. */
export class Tally implements Instrument {
  readonly name: string
  readonly #options: InstrumentOptions
  readonly #cells = new Cells(() => ({ count: 0 }))

  constructor(options: InstrumentOptions) {
    this.name = options.name
    this.#options = options
    // A rate begins at what is there: what has no labels is there from the start.
    if (options.labels.length === 0) this.add(0)
  }

  /** `labels` in the order in which they were declared. */
  add(count: number, ...labels: readonly string[]): void {
    this.#cells.of(labels).count += count
  }

  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values = Array.from(this.#cells, ([labels, { count }]) => ({
      value: count,
      labels: labelled(this.#options.labels, labels),
    }))
    return series(this.#options, "counter", values)
  }

  reset(): void {
    this.#cells.clear()
  }
}

/** Upper bounds for times in milliseconds: from a quick write to a webhook's longest timeout. */
const quickMs: readonly number[] = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000]
/** The same for what may lie for long: up to six hours. */
export const longMs: readonly number[] = [...quickMs, 60_000, 300_000, 900_000, 3_600_000, 21_600_000]

interface Times {
  /** How many there were up to each bound, but not up to the one before. */
  readonly buckets: Float64Array
  sumMs: number
}

/** Spread of times, by labels; shown in seconds, as Prometheus wants. */
export class Spread implements Instrument {
  readonly name: string
  readonly #options: InstrumentOptions
  readonly #boundsMs: readonly number[]
  readonly #cells = new Cells((): Times => ({ buckets: new Float64Array(this.#boundsMs.length + 1), sumMs: 0 }))

  constructor(options: InstrumentOptions, boundsMs = quickMs) {
    this.name = options.name
    this.#options = options
    this.#boundsMs = boundsMs
    if (options.labels.length === 0) this.#cells.of([])
  }

  record(ms: number, ...labels: readonly string[]): void {
    this.#put(this.#cells.of(labels), ms)
  }

  /** The same for one series, which need not be looked up: where it is told of often. */
  recorder(...labels: readonly string[]): (ms: number) => void {
    const cell = this.#cells.of(labels)
    return (ms) => this.#put(cell, ms)
  }

  #put(cell: Times, ms: number): void {
    const boundsMs = this.#boundsMs
    let at = 0
    while (at < boundsMs.length && ms > boundsMs[at]!) at++
    cell.buckets[at]!++
    cell.sumMs += ms
  }

  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const boundsMs = this.#boundsMs
    const values = Array.from(this.#cells, ([labels, { buckets, sumMs }]) => {
      const shown = labelled(this.#options.labels, labels)
      let total = 0
      const cumulative = Array.from(buckets, (count, i) => {
        total += count
        const le = i < boundsMs.length ? boundsMs[i]! / 1_000 : "+Inf"
        return { value: total, labels: { le, ...shown }, metricName: `${this.name}_bucket` }
      })
      return [
        ...cumulative,
        { value: sumMs / 1_000, labels: shown, metricName: `${this.name}_sum` },
        { value: total, labels: shown, metricName: `${this.name}_count` },
      ]
    })
    return series(this.#options, "histogram", values.flat())
  }

  reset(): void {
    this.#cells.clear()
  }
}

/** Numbers that others keep, asked for when the page is: a counter where the name ends in `_total`, else a gauge. */
export class Reading implements Instrument {
  readonly name: string
  readonly #options: InstrumentOptions
  readonly #read: () => readonly Figure[]

  constructor(options: InstrumentOptions, read: () => readonly Figure[]) {
    this.name = options.name
    this.#options = options
    this.#read = read
  }

  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values = this.#read()
      .slice(0, seriesMax)
      .map(({ value, labels }) => ({ value, labels: labelled(this.#options.labels, labels) }))
    return series(this.#options, this.name.endsWith("_total") ? "counter" : "gauge", values)
  }

  reset(): void {}
}

export interface Figure {
  readonly value: number
  readonly labels: readonly string[]
}

function labelled(names: readonly string[], values: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""]))
}

/** prom-client's types want its enum; its code reads the name. */
function series(
  options: InstrumentOptions,
  type: "counter" | "gauge" | "histogram",
  values: readonly MetricValue<string>[],
): MetricObjectWithValues<MetricValue<string>> {
  const { name, help } = options
  return { name, help, type, values: [...values], aggregator: "sum" } as unknown as MetricObjectWithValues<
    MetricValue<string>
  >
}
