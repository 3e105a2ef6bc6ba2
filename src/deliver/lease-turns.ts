import type { Clock } from "../core/clock.ts"

/** Leases in one turn of the event loop, where one tenant alone has any. */
const aloneMax = 256
/** And where others have some: their deliveries take it some milliseconds. */
const sharedMax = 32
/** For so long after another tenant has had some. */
const sharedMs = 10_000
/** What a lane takes at least at its turn. */
const slice = 4

type Wake = () => void

export interface Tenant {
  readonly name: string
  readonly weight: number
}

/** Those of a tenant that wait, in the order of their turns. */
interface Line {
  readonly weight: number
  readonly lanes: Set<Wake>
}

/**
 * How many deliveries may be leased in one turn of the event loop, over all lanes. Each leased one is work for the processor, whatever
 * its destination does; so turns stay short however much is due, and whoever comes is seen to soon. Where more are wanted, what there
 * is in a turn is parted between the tenants that wait, by their weights, and between the lanes of each.
 */
export class LeaseTurns {
  readonly #clock: Clock
  #left = aloneMax
  /** Tenants that wait, in the order of their turns. */
  readonly #waiting = new Map<string, Line>()
  /** Who is woken now, and what it may take. */
  #turn: { readonly wake: Wake; readonly max: number } | undefined
  #isTimed = false
  #last: string | undefined
  /** By the clock's steady time. */
  #sharedUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** How many of `wanted`, one or more, a lane may lease now. 0: `wake` is called at its turn. */
  take(tenant: Tenant, wanted: number, wake: Wake): number {
    this.#share(tenant.name)
    const max = this.#turn?.wake === wake ? this.#turn.max : this.#waiting.size === 0 ? this.#left : 0
    this.#turn = undefined
    const count = Math.max(0, Math.min(wanted, max))
    if (count > 0) this.#left -= count
    else this.#wait(tenant, wake)
    this.#wakeLater()
    return count
  }

  /** So many of them there were not. */
  give(count: number): void {
    this.#left += count
  }

  /** Takes back what a lane waits for. */
  forget(tenant: string, wake: Wake): void {
    const line = this.#waiting.get(tenant)
    if (line?.lanes.delete(wake) && line.lanes.size === 0) this.#waiting.delete(tenant)
  }

  #share(tenant: string): void {
    if (this.#last === tenant) return
    if (this.#last !== undefined) {
      this.#sharedUntil = this.#clock.steady() + sharedMs
      this.#left = Math.min(this.#left, sharedMax)
    }
    this.#last = tenant
  }

  #wait({ name, weight }: Tenant, wake: Wake): void {
    const line = this.#waiting.get(name) ?? { weight, lanes: new Set() }
    line.lanes.add(wake)
    this.#waiting.set(name, line)
  }

  #wakeLater(): void {
    if (this.#isTimed) return
    this.#isTimed = true
    this.#clock.after(0, () => {
      this.#isTimed = false
      this.#left = this.#clock.steady() < this.#sharedUntil ? sharedMax : aloneMax
      this.#wakeSome()
    })
  }

  #wakeSome(): void {
    let weights = 0
    for (const { weight } of this.#waiting.values()) weights += weight
    const perWeight = this.#left / weights
    // Ends: who is woken waits no more, or has taken something.
    for (const [name, line] of this.#waiting) {
      if (this.#left <= 0) return
      const share = Math.floor((perWeight * line.weight) / line.lanes.size)
      const [wake] = line.lanes
      this.forget(name, wake!)
      // Behind the others.
      if (this.#waiting.delete(name)) this.#waiting.set(name, line)
      this.#turn = { wake: wake!, max: Math.min(this.#left, Math.max(slice, share)) }
      wake!()
      this.#turn = undefined
    }
  }
}
