import type { Catalog, Change } from "../core/catalog.ts"
import { destinationKeys, replayKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { changeAgainst } from "../core/conflicts.ts"
import { type Delivery, lanesOf, partsOfLane, pathOfLane, type TriggerName } from "../core/delivery.ts"
import type { Destination, Replay, Trigger } from "../core/resources.ts"
import { isLeftBehind } from "./left-behind.ts"

export interface DirectoryListener {
  /** The trigger was resumed: it is not paused, and something may have been held here that believed it was. */
  active(trigger: Trigger): void
  destination(lane: string, destination: Destination | undefined): void
  /** A trigger was paused from here. */
  paused?(of: Paused, reason: string): void
}

/** A trigger that sends to a destination. */
export type Paused = TriggerName & Pick<Delivery, "destination">

/**
 * The triggers and destinations as the catalog has them, kept in memory. What it does not know it looks up: the router
 * may have seen a trigger before the change came by here.
 */
export class Directory {
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #listener: DirectoryListener
  readonly #triggers = new Map<string, Trigger>()
  readonly #destinations = new Map<string, Destination>()
  /** Triggers being paused from here, until the change comes by. */
  readonly #pausing = new Map<string, { readonly incarnation: string; readonly done: Promise<boolean> }>()
  /** Triggers that were found to be paused before that change came by: it may come together with the next one. */
  readonly #foundPaused = new Set<string>()

  constructor(options: { catalog: Catalog; clock: Clock; listener: DirectoryListener }) {
    this.#catalog = options.catalog
    this.#clock = options.clock
    this.#listener = options.listener
  }

  /** Follows the catalog until `stop`; calls `current` once all that was there at the start is known. */
  async watch(stop: AbortSignal, current: () => void): Promise<void> {
    let missing = 2
    const seen = () => {
      if (--missing === 0) current()
    }
    await Promise.all([this.#watchTriggers(stop, seen), this.#watchDestinations(stop, seen)])
  }

  /** The trigger that deliveries are of. Undefined: it exists no more. A promise only where it is not in memory. */
  trigger(of: TriggerName): Trigger | Promise<Trigger | undefined> {
    const known = this.#triggers.get(pathOf(of))
    return known && isOf(known, of) ? known : this.newest(of)
  }

  /** As {@link Directory.trigger}, whatever memory has: it may still be the one that had the id before, or an older version. */
  async newest(of: TriggerName): Promise<Trigger | undefined> {
    const item = await this.#catalog.get<Trigger>(triggerKeys.at(pathOf(of)), { newest: true })
    if (item === undefined || !isOf(item.value, of)) return undefined
    if (item.value.paused) this.#foundPaused.add(pathOf(of))
    return item.value
  }

  /** As {@link Directory.trigger}; a destination's lane has its tenant and id. */
  destination(lane: string): Destination | Promise<Destination | undefined> {
    const path = pathOfLane(lane)
    const known = this.#destinations.get(path)
    return (
      known ?? this.#catalog.get<Destination>(destinationKeys.at(path), { newest: true }).then((item) => item?.value)
    )
  }

  /** The replay that a delivery is of, as it is now. Throws UnavailableError. */
  async replay({ tenant, replay = "" }: Delivery): Promise<Replay | undefined> {
    return (await this.#catalog.get<Replay>(replayKeys.of({ tenant, id: replay })))?.value
  }

  /** Whether the trigger is known to be paused, or is being paused from here. */
  isPaused(of: TriggerName): boolean {
    const path = pathOf(of)
    if (this.#pausing.get(path)?.incarnation === of.incarnation) return true
    const known = this.#triggers.get(path)
    return known?.paused !== undefined && isOf(known, of)
  }

  /** Whether the delivery is not to be sent, as far as is known: its trigger rests, or has left it behind. */
  keepsBack(delivery: Delivery): boolean {
    const known = this.#triggers.get(pathOf(delivery))
    return this.isPaused(delivery) || (known !== undefined && isOf(known, delivery) && isLeftBehind(known, delivery))
  }

  /**
   * Pauses the trigger, from this call on for us, and then in the catalog, for its destination is gone. Answers whether it
   * rests: not where it exists no more, or sends elsewhere by now.
   */
  async pause(of: Paused, reason: string): Promise<boolean> {
    const path = pathOf(of)
    const pausing = this.#pausing.get(path)
    if (pausing?.incarnation === of.incarnation) return pausing.done
    const done = this.#pauseInCatalog(of, reason)
    this.#pausing.set(path, { incarnation: of.incarnation, done })
    return done
  }

  async #pauseInCatalog(of: Paused, reason: string): Promise<boolean> {
    const path = pathOf(of)
    let rests = false
    try {
      await changeAgainst(this.#clock, `trigger ${of.trigger}`, async () => {
        rests = await this.#tryPause(of, reason)
      })
    } catch (error) {
      this.#unpause(path)
      throw error
    }
    if (!rests) this.#unpause(path)
    return rests
  }

  /** Some may have been held already, for a pause that is none. */
  #unpause(path: string): void {
    this.#pausing.delete(path)
    const trigger = this.#triggers.get(path)
    if (trigger && !trigger.paused) this.#listener.active(trigger)
  }

  /** Throws ConflictError where another write came first. */
  async #tryPause(of: Paused, reason: string): Promise<boolean> {
    const key = triggerKeys.at(pathOf(of))
    const item = await this.#catalog.get<Trigger>(key)
    if (!item || !isOf(item.value, of) || item.value.destination !== of.destination) return false
    if (item.value.paused) {
      // The change that says so has come by, or will.
      this.#pausing.delete(pathOf(of))
      return true
    }
    const since = this.#clock.now()
    const paused = { ...item.value, updatedAt: since, paused: { since, reason } }
    await this.#catalog.put(key, paused, item.revision)
    this.#listener.paused?.(of, reason)
    return true
  }

  async #watchTriggers(stop: AbortSignal, current: () => void): Promise<void> {
    for await (const change of this.#catalog.watch<Trigger>(triggerKeys.prefix, stop)) {
      if (change.kind === "current") current()
      else this.#triggerChanged(change)
    }
  }

  #triggerChanged(change: Exclude<Change<Trigger>, { kind: "current" }>): void {
    const path = triggerKeys.pathIn(change.kind === "put" ? change.item.key : change.key)
    const wasPaused = [
      this.#triggers.get(path)?.paused !== undefined,
      this.#pausing.delete(path),
      this.#foundPaused.delete(path),
    ].includes(true)
    if (change.kind === "delete") {
      this.#triggers.delete(path)
      return
    }
    const trigger = change.item.value
    this.#triggers.set(path, trigger)
    if (wasPaused && !trigger.paused) this.#listener.active(trigger)
  }

  async #watchDestinations(stop: AbortSignal, current: () => void): Promise<void> {
    for await (const change of this.#catalog.watch<Destination>(destinationKeys.prefix, stop)) {
      if (change.kind === "current") current()
      else if (change.kind === "delete") this.#destinationChanged(change.key, undefined)
      else this.#destinationChanged(change.item.key, change.item.value)
    }
  }

  #destinationChanged(key: string, destination: Destination | undefined): void {
    const path = destinationKeys.pathIn(key)
    if (destination) this.#destinations.set(path, destination)
    else this.#destinations.delete(path)
    for (const lane of lanesOf(partsOfLane(path))) this.#listener.destination(lane, destination)
  }
}

function pathOf({ tenant, trigger }: TriggerName): string {
  return `${tenant}/${trigger}`
}

function isOf({ incarnation = "" }: Trigger, of: TriggerName): boolean {
  return incarnation === of.incarnation
}
