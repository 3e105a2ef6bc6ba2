import type { Clock } from "../core/clock.ts"
import type { Lease, LeasingAnywhere } from "../core/deliveries.ts"

/** What a worker asks for. */
export interface Wish {
  readonly max: number
  readonly leaseMs: number
  /** How long it waits where nothing is due. */
  readonly waitMs: number
  /** Aborts when it has gone away, or the hub stops. */
  readonly gone: AbortSignal
}

/** What it is given; none where nothing came in its time. */
export interface Given {
  readonly leases: readonly Lease[]
  /** Unix milliseconds. */
  readonly expiresAt: number
}

interface Waiting extends Wish {
  /** Its time was over while it was being served. */
  isLate: boolean
  give(given: Given): void
  fail(error: unknown): void
}

interface Line {
  readonly lanes: readonly string[]
  /** Those who wait, in the order in which they came. */
  readonly waiting: Set<Waiting>
  /** For whom the lane is being asked. */
  serving: Waiting | undefined
  /** While nothing is due. Aborts when nobody is left. */
  idle: AbortController | undefined
}

const nothing: Given = { leases: [], expiresAt: 0 }

/**
 * Workers who wait for deliveries of one queue stand in a line, where the first is served first. Its lanes are asked when one has
 * come to be due, for all of the line at once: to wait costs a place in it, and nothing while time passes.
 */
export class Lines {
  readonly #leasing: LeasingAnywhere
  readonly #clock: Clock
  readonly #lines = new Map<string, Line>()

  constructor(leasing: LeasingAnywhere, clock: Clock) {
    this.#leasing = leasing
    this.#clock = clock
  }

  /** Throws what the queue throws. `lanes`: of one destination, always the same. */
  take(lanes: readonly string[], wish: Wish): Promise<Given> {
    if (wish.gone.aborted) return Promise.resolve(nothing)
    const line = this.#lines.get(lanes[0]!) ?? this.#begin(lanes)
    // Those who wait have found that there is nothing, and come first.
    if (line.idle !== undefined && wish.waitMs === 0) return Promise.resolve(nothing)
    return new Promise((resolve, reject) => stand(this.#clock, line, wish, { resolve, reject }))
  }

  /** A line, which is served from the next turn on. */
  #begin(lanes: readonly string[]): Line {
    const line: Line = { lanes, waiting: new Set(), serving: undefined, idle: undefined }
    this.#lines.set(lanes[0]!, line)
    queueMicrotask(() => void this.#serve(line))
    return line
  }

  async #serve(line: Line): Promise<void> {
    // Ends: when nobody is left in the line.
    for (let first = firstOf(line); first !== undefined; first = firstOf(line)) {
      try {
        const isMore = await this.#give(line, first)
        if (isMore || line.waiting.size === 0) continue
        line.idle = new AbortController()
        await this.#due(line.lanes, line.idle.signal)
      } catch (error) {
        for (const waiting of line.waiting) waiting.fail(error)
        line.waiting.clear()
      } finally {
        line.serving = undefined
        line.idle = undefined
      }
    }
    this.#lines.delete(line.lanes[0]!)
  }

  /** Answers whether there may be more. */
  async #give(line: Line, first: Waiting): Promise<boolean> {
    line.serving = first
    const expiresAt = this.#clock.now() + first.leaseMs
    const leases = await this.#lease(line.lanes, first)
    line.serving = undefined
    if (!line.waiting.has(first)) await Promise.all(leases.map((lease) => this.#giveBack(lease)))
    else if (leases.length > 0 || first.waitMs === 0 || first.isLate) {
      line.waiting.delete(first)
      first.give({ leases, expiresAt })
    }
    return leases.length > 0
  }

  /** What there is of one lane, and then of the next; where one cannot be asked, what the others had. */
  async #lease(lanes: readonly string[], { max, leaseMs }: Pick<Wish, "max" | "leaseMs">): Promise<readonly Lease[]> {
    const leases: Lease[] = []
    const [lane, ...others] = lanes
    leases.push(...(await this.#leasing.lease({ lane: lane!, max, leaseMs })))
    if (others.length === 0 || leases.length === max) return leases
    try {
      leases.push(...(await this.#lease(others, { max: max - leases.length, leaseMs })))
    } catch (error) {
      if (leases.length === 0) throw error
    }
    return leases
  }

  /** Resolves when one of them is. */
  async #due(lanes: readonly string[], stop: AbortSignal): Promise<void> {
    const over = new AbortController()
    const signal = AbortSignal.any([stop, over.signal])
    await Promise.race(lanes.map((lane) => this.#leasing.due(lane, signal))).finally(() => over.abort())
  }

  /** Whoever asked has gone meanwhile. */
  async #giveBack(lease: Lease): Promise<void> {
    await this.#leasing.end(lease, { kind: "release", delayMs: 0 }).catch(() => undefined)
  }
}

function firstOf({ waiting }: Line): Waiting | undefined {
  const [first] = waiting
  return first
}

/** Takes its place in the line, and leaves it when its time is over or it has gone. */
function stand(
  clock: Clock,
  line: Line,
  wish: Wish,
  then: { resolve(given: Given): void; reject(error: unknown): void },
): void {
  const leave = () => {
    line.waiting.delete(waiting)
    if (line.waiting.size === 0) line.idle?.abort()
    end(() => then.resolve(nothing))
  }
  const late = () => {
    if (line.serving === waiting) waiting.isLate = true
    else leave()
  }
  const cancel = wish.waitMs === 0 ? () => {} : clock.after(wish.waitMs, late)
  const end = (tell: () => void) => {
    cancel()
    wish.gone.removeEventListener("abort", leave)
    tell()
  }
  const waiting: Waiting = {
    ...wish,
    isLate: false,
    give: (given) => end(() => then.resolve(given)),
    fail: (error) => end(() => then.reject(error)),
  }
  line.waiting.add(waiting)
  wish.gone.addEventListener("abort", leave)
}
