import type { BatchLimits } from "../core/destination.ts"
import { jsonBytes } from "../formats/json-encode.ts"
import type { ReadyJob } from "./job.ts"

/** Events that are fetched for batches at once, so that few large ones are in memory. */
const fetchedMax = 64

/**
 * What waits for its request, and how much of it goes in one. Where the destination takes batches, a first attempt goes in
 * company; one that failed before goes alone, so that no event spoils the attempts of others more than once, and so does one
 * whose answer is to be a reply.
 */
export class Ready {
  #limits: BatchLimits | undefined
  #alone: ReadyJob[] = []
  #company: ReadyJob[] = []
  /** Of those in company. */
  #bytes = 0

  constructor(limits: BatchLimits | undefined) {
    this.#limits = limits
  }

  get length(): number {
    return this.#alone.length + this.#company.length
  }

  /** The first of what goes next. */
  get next(): ReadyJob {
    return this.#alone[0] ?? this.#company[0]!
  }

  get isBatched(): boolean {
    return this.#limits !== undefined
  }

  /** The destination has changed. */
  limit(limits: BatchLimits | undefined): void {
    const all = this.clear()
    this.#limits = limits
    for (const ready of all) this.push(ready)
  }

  push(ready: ReadyJob): void {
    const { lease, probe } = ready.job
    const isFirst = lease.attempt - lease.attemptsForgiven <= 1
    if (this.#limits === undefined || probe || !isFirst || ready.isAnswered) this.#alone.push(ready)
    else {
      this.#company.push(ready)
      this.#bytes += bytesOf(ready)
    }
  }

  /** How many more may be leased for batches while so many are being fetched: up to one batch. */
  room(fetching: number): number {
    const { eventsMax, bytesMax } = this.#limits!
    if (this.#bytes >= bytesMax) return 0
    return Math.max(0, Math.min(eventsMax - fetching - this.length, fetchedMax - fetching))
  }

  /** Milliseconds for which the next request may wait to have more in it. */
  waitMs(now: number): number {
    if (this.#limits === undefined || this.#alone.length > 0) return 0
    const { eventsMax, bytesMax, waitMs } = this.#limits
    const [first] = this.#company
    if (first === undefined || this.#company.length >= eventsMax || this.#bytes >= bytesMax) return 0
    return Math.max(0, first.readyAt + waitMs - now)
  }

  /** Takes what goes in the next request; there is something. */
  take(): ReadyJob[] {
    if (this.#alone.length > 0 || this.#limits === undefined) return [this.#alone.shift()!]
    const { eventsMax, bytesMax } = this.#limits
    let [count, bytes] = [0, 0]
    for (const each of this.#company) {
      const more = bytesOf(each)
      if (count > 0 && (count === eventsMax || bytes + more > bytesMax)) break
      count++
      bytes += more
    }
    this.#bytes -= bytes
    return this.#company.splice(0, count)
  }

  /** Takes all. */
  clear(): ReadyJob[] {
    const all = [...this.#alone, ...this.#company]
    this.#alone = []
    this.#company = []
    this.#bytes = 0
    return all
  }
}

/** Of an event as JSON in a batch, where its delivery's id is with it, at most. */
function bytesOf({ job, stored }: ReadyJob): number {
  return jsonBytes(stored.event) + job.lease.delivery.id.length + ',"redcardelivery":"",'.length
}
