import type { Clock } from "../core/clock.ts"
import type { TenantShare, TenantShares } from "../core/tenant-shares.ts"
import { RateTurns } from "./rate-turns.ts"
import { Waiting } from "./waiting.ts"

/** What a lane may hold however much the others have taken. */
const always = 4
/** A tenant of weight 1 may hold so many times what is free. */
const factor = 8
/** A lane leaves its tenant so many times what it holds: a greedy one stops at two thirds. */
const left = 3

type Wake = () => void

/**
 * How much may be in flight in all lanes together. A tenant may hold a multiple of what is *free*, by its weight; what it may
 * still take is free to its lanes, and each of these may hold a third of what it leaves. So shares follow the weights of whoever
 * is busy, without a list of them: one busy tenant has nearly all, two have halves, and a newcomer finds room at once,
 * however long the attempts of the others take. A lane may hold {@link always} in any case, within its tenant's own limit.
 * In flight are at most `max` and {@link always} for each lane.
 */
export class Slots {
  readonly max: number
  readonly #clock: Clock
  readonly #shares: TenantShares
  readonly #tenants = new Map<string, TenantSlots>()
  /** Tenants that have waiting lanes, by how many slots must be free. All of these are more than are free. */
  readonly #waiting = new Waiting<TenantSlots>()
  #taken = 0

  constructor(max: number, clock: Clock, shares: TenantShares = new Map()) {
    this.max = max
    this.#clock = clock
    this.#shares = shares
  }

  get taken(): number {
    return this.#taken
  }

  get free(): number {
    return Math.max(0, this.max - this.#taken)
  }

  /** For one lane of the tenant; to be let go of once, by {@link Slots.release}. */
  of(tenant: string): TenantSlots {
    let slots = this.#tenants.get(tenant)
    if (slots === undefined) {
      const share = this.#shares.get(tenant) ?? this.#shares.get("*") ?? { weight: 1 }
      slots = new TenantSlots(tenant, share, this, this.#clock)
      this.#tenants.set(tenant, slots)
    }
    slots.users++
    return slots
  }

  /** A tenant that has no lane is forgotten. */
  release(slots: TenantSlots): void {
    if (--slots.users === 0) this.#tenants.delete(slots.tenant)
  }

  /** A tenant took `count`, or gave so many back (less than 0), or other lanes of it wait. */
  changed(tenant: TenantSlots, count = 0): void {
    this.#taken += count
    const { need } = tenant
    if (need === undefined) this.#waiting.delete(tenant)
    else this.#waiting.put(tenant, need)
  }

  /** Wakes those for whom there is room: tenants and lanes that hold less before those that hold more, then in turn. */
  wake(): void {
    // Ends: who is woken waits no more, or for more than there is.
    for (let next = this.#waiting.first(); next && next.need <= this.free; next = this.#waiting.first()) {
      next.who.wakeOne()
    }
  }
}

/** The slots of one tenant, for all of its lanes. */
export class TenantSlots {
  readonly tenant: string
  /** Lanes that have it. */
  users = 0
  /** Its rate, with the turns of its lanes; undefined: it has none. */
  readonly rate: RateTurns | undefined
  readonly #slots: Slots
  readonly #multiple: number
  readonly #max: number
  readonly #waiting = new Waiting<Wake>()
  #held = 0

  constructor(tenant: string, share: TenantShare, slots: Slots, clock: Clock) {
    this.tenant = tenant
    this.#slots = slots
    this.#multiple = factor * share.weight
    this.#max = share.inFlightMax ?? Number.POSITIVE_INFINITY
    this.rate = share.ratePerSecond === undefined ? undefined : new RateTurns(share.ratePerSecond, clock)
  }

  /** How many more a lane may take that has `held`. */
  room(held: number): number {
    const { free } = this.#slots
    // What may be taken so that the rule still holds afterwards; one more where that is no whole number.
    const share = Math.ceil((this.#multiple * free - this.#held - left * held) / (this.#multiple + 1 + left))
    return Math.max(0, Math.min(this.#max - this.#held, Math.max(always - held, share)))
  }

  take(count: number): void {
    this.#held += count
    this.#slots.changed(this, count)
  }

  /** Gives back, and wakes those for whom there is room now. */
  give(count: number): void {
    this.#held -= count
    this.#slots.changed(this, -count)
    this.#slots.wake()
  }

  /** Calls `wake` once when there is room for a lane that has `held`. A second call replaces the first. */
  wait(held: number, wake: Wake): void {
    this.#waiting.put(wake, held)
    this.#slots.changed(this)
  }

  /** Takes back {@link TenantSlots.wait}. */
  forget(wake: Wake): void {
    this.#waiting.delete(wake)
    this.#slots.changed(this)
  }

  /** How many slots must be free for one of its lanes that waits; undefined where none does, or the tenant has all it may. */
  get need(): number | undefined {
    const first = this.#waiting.first()
    if (first === undefined || this.#held >= this.#max) return undefined
    return first.need < always ? 0 : Math.floor((this.#held + left * first.need) / this.#multiple) + 1
  }

  /** Wakes the lane that has least, of these the one that waits for the longest. */
  wakeOne(): void {
    const { who } = this.#waiting.first()!
    this.forget(who)
    who()
  }
}
