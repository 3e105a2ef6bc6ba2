import type { Clock } from "../core/clock.ts"
import type { TenantShare, TenantShares } from "../core/tenant-shares.ts"
import { LeaseTurns } from "./lease-turns.ts"
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
 * How much may be in flight in all lanes together. A lane may hold {@link always} in any case, within its tenant's own limit; what
 * it holds *beyond* that is shared, and nothing else is: a tenant of many lanes leaves the others as much as one of few. A tenant may
 * hold a multiple of what is *free*, by its weight; what it may still take is free to its lanes, and each of these may hold a third of
 * what it leaves. So shares follow the weights of whoever is busy, without a list of them: one busy tenant has nearly all, two have
 * halves, and a newcomer finds room at once, however long the attempts of the others take.
 * In flight are at most `max` and {@link always} for each lane.
 */
export class Slots {
  readonly max: number
  readonly turns: LeaseTurns
  readonly #clock: Clock
  readonly #shares: TenantShares
  readonly #tenants = new Map<string, TenantSlots>()
  /** Tenants that have waiting lanes, by how many slots must be free. All of these are more than are free. */
  readonly #waiting = new Waiting<TenantSlots>()
  #beyond = 0

  constructor(max: number, clock: Clock, shares: TenantShares = new Map()) {
    this.max = max
    this.turns = new LeaseTurns(clock)
    this.#clock = clock
    this.#shares = shares
  }

  get free(): number {
    return this.max - this.#beyond
  }

  /** For one lane of the tenant; to be let go of once, by {@link LaneSlots.release}. */
  of(tenant: string): LaneSlots {
    let slots = this.#tenants.get(tenant)
    if (slots === undefined) {
      const share = this.#shares.get(tenant) ?? this.#shares.get("*") ?? { weight: 1 }
      slots = new TenantSlots(tenant, share, this, this.#clock)
      this.#tenants.set(tenant, slots)
    }
    slots.lanes++
    return new LaneSlots(slots)
  }

  /** A tenant that has no lane is forgotten. */
  release(slots: TenantSlots): void {
    if (--slots.lanes === 0) this.#tenants.delete(slots.name)
  }

  /** A tenant took `count` of what is shared, or gave so many back (less than 0), or other lanes of it wait. */
  changed(tenant: TenantSlots, count = 0): void {
    this.#beyond += count
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

/** What one lane holds. */
export class LaneSlots {
  readonly #tenant: TenantSlots
  #held = 0

  constructor(tenant: TenantSlots) {
    this.#tenant = tenant
  }

  get held(): number {
    return this.#held
  }

  /** Its tenant's rate, with the turns of the lanes; undefined: it has none. */
  get rate(): RateTurns | undefined {
    return this.#tenant.rate
  }

  /** How many more it may take. */
  get room(): number {
    return this.#tenant.room(this.#held)
  }

  take(count: number): void {
    this.#change(count)
  }

  /** Gives back, and wakes those for whom there is room now. */
  give(count: number): void {
    this.#change(-count)
    this.#tenant.wake()
  }

  /** Calls `wake` once when there is room. A second call replaces the first. */
  wait(wake: Wake): void {
    this.#tenant.wait(this.#held, wake)
  }

  /** Takes back all that `wake` waits for. */
  forget(wake: Wake): void {
    this.#tenant.forget(wake)
    this.#tenant.turns.forget(this.#tenant.name, wake)
    this.rate?.forget(wake)
  }

  /** See {@link LeaseTurns.take}. */
  turn(wanted: number, wake: Wake): number {
    return wanted === 0 ? 0 : this.#tenant.turns.take(this.#tenant, wanted, wake)
  }

  /** Gives back what there was nothing to lease for. */
  giveUnused(count: number): void {
    this.#tenant.turns.give(count)
    this.give(count)
  }

  release(): void {
    this.#tenant.release()
  }

  #change(count: number): void {
    const before = beyond(this.#held)
    this.#held += count
    this.#tenant.changed(count, beyond(this.#held) - before)
  }
}

/** What of a lane's slots is shared. */
function beyond(held: number): number {
  return Math.max(0, held - always)
}

/** The slots of one tenant, for all of its lanes. */
class TenantSlots {
  readonly name: string
  readonly weight: number
  readonly turns: LeaseTurns
  lanes = 0
  readonly rate: RateTurns | undefined
  readonly #slots: Slots
  readonly #multiple: number
  readonly #max: number
  readonly #waiting = new Waiting<Wake>()
  #held = 0
  #beyond = 0

  constructor(tenant: string, share: TenantShare, slots: Slots, clock: Clock) {
    this.name = tenant
    this.weight = share.weight
    this.turns = slots.turns
    this.#slots = slots
    this.#multiple = factor * share.weight
    this.#max = share.inFlightMax ?? Number.POSITIVE_INFINITY
    this.rate = share.ratePerSecond === undefined ? undefined : new RateTurns(share.ratePerSecond, clock)
  }

  /** How many more a lane may take that has `held`. */
  room(held: number): number {
    // What may be taken so that the rule still holds afterwards; one more where that is no whole number.
    const free = this.#multiple * this.#slots.free - this.#beyond - left * beyond(held)
    const share = Math.max(0, Math.ceil(free / (this.#multiple + 1 + left)))
    return Math.max(0, Math.min(this.#max - this.#held, Math.max(0, always - held) + share))
  }

  /** Lanes took `count`, `shared` of it beyond what they may hold in any case; or gave it back. */
  changed(count: number, shared: number): void {
    this.#held += count
    this.#beyond += shared
    this.#slots.changed(this, shared)
  }

  wake(): void {
    this.#slots.wake()
  }

  wait(held: number, wake: Wake): void {
    this.#waiting.put(wake, held)
    this.#slots.changed(this)
  }

  forget(wake: Wake): void {
    this.#waiting.delete(wake)
    this.#slots.changed(this)
  }

  release(): void {
    this.#slots.release(this)
  }

  /** How many slots must be free for one of its lanes that waits; undefined where none does, or the tenant has all it may. */
  get need(): number | undefined {
    const first = this.#waiting.first()
    if (first === undefined || this.#held >= this.#max) return undefined
    if (first.need < always) return 0
    return Math.floor((this.#beyond + left * beyond(first.need)) / this.#multiple) + 1
  }

  /** Wakes the lane that has least, of these the one that waits for the longest. */
  wakeOne(): void {
    const { who } = this.#waiting.first()!
    this.forget(who)
    who()
  }
}
