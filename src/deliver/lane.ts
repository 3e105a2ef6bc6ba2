import type { Lease } from "../core/deliveries.ts"
import { type Failed, isReplayLane, type Outcome, partsOfLane, pathOfLane } from "../core/delivery.ts"
import type { LaneWork } from "../core/figures.ts"
import type { LaneReport } from "../core/lane-status.ts"
import type { Destination } from "../core/resources.ts"
import { attemptOf, batchOf } from "./batch.ts"
import { allowedAtOnce, type Breaker, breakerAfter, breakerAllows, breakerAt, closedBreaker } from "./breaker.ts"
import { bury, conclude, hold, prepare } from "./conclude.ts"
import { Faring } from "./faring.ts"
import type { Hub } from "./hub.ts"
import type { Job, ReadyJob } from "./job.ts"
import type { Rate, SpareRate } from "./rate.ts"
import { Ready } from "./ready.ts"
import { ofAnother, SenderSlot, type Sent } from "./sender-slot.ts"
import type { Shared } from "./shared.ts"
import type { LaneSlots } from "./slots.ts"
import { abortMs, Tending } from "./tending.ts"

/** For a destination that is not there: its deliveries are held, moved or given up, some at a time. */
const concurrencyWithout = 4

/**
 * The deliveries of one destination on their way. Leases are taken some ahead, so that a slot that becomes free is filled
 * at once and leasing happens in chunks; nothing here waits for another lane, save for the slots that all share.
 *
 * Whoever changes what limits the lane calls `#go`, which starts what may start and leases what there is room for.
 */
export class Lane {
  readonly name: string
  readonly #hub: Hub
  readonly #jobs = new Set<Job>()
  readonly #ready: Ready
  #fetching = 0
  #sending = 0
  #probes = 0
  #destination: Destination | undefined
  readonly #sender: SenderSlot
  #faring: Faring
  #rate: Rate | SpareRate | undefined
  #breaker: Breaker = closedBreaker
  readonly #shared: Shared
  /** What it has of the slots that all lanes share. */
  readonly #slots: LaneSlots
  /** Whether the queue may have due work; how often it said so. */
  #due = false
  #wakes = 0
  #leasing = false
  #timer: { readonly at: number; readonly cancel: () => void } | undefined
  readonly #tending: Tending
  #stopping = false
  #lastActiveAt: number
  #emptied: (() => void) | undefined
  readonly #slotFree = () => this.#go()

  /** `faring`: what is known of the destination already. */
  constructor(name: string, destination: Destination | undefined, hub: Hub, faring = new Faring()) {
    this.name = name
    this.#faring = faring
    this.#hub = hub
    this.#shared = hub.shared.take(pathOfLane(name))
    this.#slots = hub.slots.of(partsOfLane(name).tenant)
    this.#lastActiveAt = hub.clock.steady()
    this.#sender = new SenderSlot(destination, hub.senders)
    this.#ready = new Ready(this.#sender.batching)
    this.#tending = new Tending(this.#jobs, hub)
    this.#destination = destination
    this.#setRate()
  }

  get work(): LaneWork {
    const breaker = breakerAt(this.#breaker, this.#hub.clock.steady()).kind
    return { ...partsOfLane(this.name), inFlight: this.#jobs.size, breaker }
  }

  get hasDestination(): boolean {
    return this.#destination !== undefined
  }

  get faring(): Faring {
    return this.#faring
  }

  /** How the destination fares. */
  report(): LaneReport {
    const { clock } = this.#hub
    const now = clock.steady()
    const breaker = breakerAt(this.#breaker, now)
    const restsMs = Math.max(this.#shared.restUntil, breaker.kind === "open" ? breaker.until : now) - now
    return {
      breaker: breaker.kind,
      ...(restsMs > 0 && { restsUntil: clock.now() + Math.ceil(restsMs) }),
      inFlight: this.#sending,
      ...this.#faring.report(now, restsMs > 0),
    }
  }

  /** Whether it has had nothing to do for so long that it may be let go. */
  isIdle(now: number): boolean {
    if (this.#jobs.size > 0 || this.#leasing || this.#due || now < this.#shared.restUntil) return false
    return breakerAt(this.#breaker, now).kind !== "open" && now - this.#lastActiveAt >= this.#hub.limits.idleMs
  }

  /** The queue has due work for this lane. */
  wake(): void {
    this.#due = true
    this.#wakes++
    this.#go()
  }

  /** The destination was changed: what is known of how it fares no longer counts. */
  change(destination: Destination | undefined): void {
    if (destination === undefined) this.#hub.telling.deleted(this.name)
    if (!destination || !this.#destination) this.#faring = new Faring()
    this.#sender.change(destination)
    this.#ready.limit(this.#sender.batching)
    this.#destination = destination
    this.#setRate()
    this.#shared.restUntil = Number.NEGATIVE_INFINITY
    this.#setBreaker(closedBreaker, "it was changed")
    this.#go()
  }

  /** Leases no more and gives back what is not being sent; resolves when all that is being sent has ended. */
  async drain(): Promise<void> {
    this.#stopping = true
    this.#timer?.cancel()
    this.#slots.forget(this.#slotFree)
    this.#giveBackReady()
    // Ends: each attempt has a limit of time, and the worker aborts what is left.
    while (this.#jobs.size > 0 || this.#leasing) {
      await new Promise<void>((resolve) => {
        this.#emptied = resolve
      })
    }
  }

  /** Ends what is still being sent; what did not come through is given back uncounted. */
  abort(): void {
    for (const job of this.#jobs) job.sending?.controller.abort()
    this.#hub.clock.after(abortMs, () => {
      for (const job of this.#jobs) job.sending?.abandon({ kind: "failed", detail: "stopped", permanent: false })
    })
  }

  async close(): Promise<void> {
    this.#hub.shared.release(pathOfLane(this.name))
    this.#slots.release()
    await this.#sender.close()
  }

  #setRate(): void {
    const { ratePerSecond } = this.#sender
    if (ratePerSecond !== this.#rate?.perSecond) {
      this.#rate = this.#shared.rate(ratePerSecond, isReplayLane(this.name), this.#hub.clock.steady())
    }
  }

  /** What is replayed has a quarter of what the destination takes at once, beside what is new. */
  get #concurrency(): number {
    const whole = Math.min(this.#destination?.concurrency ?? concurrencyWithout, allowedAtOnce(this.#breaker))
    return isReplayLane(this.name) ? Math.max(1, whole >> 2) : whole
  }

  #go(): void {
    if (this.#ready.length > 0) this.#start()
    if (this.#due && !this.#leasing && !this.#stopping) void this.#lease()
  }

  /** Starts what is ready while there are slots, tokens, and a destination that wants it. */
  #start(): void {
    const now = this.#hub.clock.steady()
    while (this.#ready.length > 0) {
      if (!this.#isOpenTo(this.#ready.next.job, now)) this.#giveBackReady()
      if (this.#ready.length === 0 || this.#sending >= this.#concurrency) return
      const waitMs = this.#rate?.waitMs(now) ?? 0
      if (!isReplayLane(this.name)) this.#shared.isWanted = waitMs > 0
      const untilMs = Math.max(waitMs, this.#gatherMs(now))
      if (untilMs > 0) {
        this.#wakeAt(now + untilMs)
        return
      }
      if (this.#slots.rate?.ask(this.#slotFree) === false) return
      const jobs = this.#ready.take().filter((each) => !this.#keepBack(each))
      if (jobs.length === 0) continue
      this.#rate?.take(jobs.length)
      this.#slots.rate?.take(jobs.length)
      void this.#send(jobs)
    }
  }

  /** For how long what is ready waits for more; not for what others have taken the room of. */
  #gatherMs(now: number): number {
    return this.#slots.room === 0 ? 0 : this.#ready.waitMs(now)
  }

  #keepBack({ job }: ReadyJob): boolean {
    if (!this.#hub.directory.keepsBack(job.lease.delivery)) return false
    void this.#end(job, () => hold(job.lease, this.#hub))
    return true
  }

  #isOpenTo(job: Job, now: number): boolean {
    if (this.#stopping || now < this.#shared.restUntil) return false
    return this.#breaker.kind === "closed" || (job.probe && breakerAt(this.#breaker, now).kind === "half-open")
  }

  async #lease(): Promise<void> {
    const { engine, limits, gate } = this.#hub
    this.#leasing = true
    // Ends: the queue has no more, or there is no room: failures close the gate for a while.
    while (this.#due && !this.#stopping) {
      const room = this.#slots.turn(this.#room(), this.#slotFree)
      if (room === 0) break
      const wakes = this.#wakes
      this.#slots.take(room)
      let leases: readonly Lease[] = []
      try {
        leases = await engine.queue.lease({ lane: this.name, max: room, leaseMs: limits.leaseMs })
        if (leases.length === 0 && wakes === this.#wakes) this.#due = false
      } catch (error) {
        gate.trouble(error, "leasing")
      }
      const probe = this.#breaker.kind !== "closed"
      for (const lease of leases) this.#take(lease, probe)
      this.#slots.giveUnused(room - leases.length)
    }
    this.#leasing = false
    if (this.#stopping) this.#emptied?.()
  }

  /** How much to lease now. 0: whoever makes room calls. */
  #room(): number {
    const { clock, gate } = this.#hub
    const now = clock.steady()
    const restUntil = Math.max(this.#shared.restUntil, gate.closedUntil)
    if (gate.stopped) return 0
    if (now < restUntil) return this.#wakeAt(restUntil)
    this.#setBreaker(breakerAt(this.#breaker, now), "its rest is over")
    const allowed = breakerAllows(this.#breaker)
    if (allowed === 0) return this.#wakeAt((this.#breaker as { readonly until: number }).until)
    const room = allowed === 1 ? Math.max(0, 1 - this.#probes) : this.#roomForMany(now)
    if (room === 0) return 0
    const free = this.#slots.room
    if (free === 0) this.#slots.wait(this.#slotFree)
    return Math.min(room, free)
  }

  #roomForMany(now: number): number {
    if (this.#ready.isBatched) return this.#roomForBatch(now)
    const waiting = this.#fetching + this.#ready.length
    const ahead = Math.min(this.#concurrency, this.#hub.limits.aheadMax)
    if (waiting > ahead >> 1) return 0
    let room = this.#concurrency + ahead - waiting - this.#sending
    if (this.#rate) room = Math.min(room, Math.max(1, this.#rate.available(now)) - waiting)
    if (this.#slots.rate) room = Math.min(room, Math.max(1, this.#slots.rate.available) - waiting)
    // More may be being sent than the destination is to have at once, since it was changed.
    return Math.max(0, room)
  }

  /** A batch may take more than the rate has: the next one begins when that is made up for. */
  #roomForBatch(now: number): number {
    const waitMs = this.#rate?.waitMs(now) ?? 0
    return waitMs > 0 ? this.#wakeAt(now + waitMs) : this.#ready.room(this.#fetching)
  }

  #take(lease: Lease, probe: boolean): void {
    const now = this.#hub.clock.steady()
    const job: Job = { lease, probe, leasedAt: now, sending: undefined }
    this.#hub.telling.leased(lease)
    this.#jobs.add(job)
    this.#fetching++
    if (probe) this.#probes++
    this.#lastActiveAt = now
    this.#tending.begin()
    void this.#fetch(job)
  }

  async #fetch(job: Job): Promise<void> {
    const prepared = await prepare(job, this.#hub)
    this.#fetching--
    if (prepared.kind === "ready") {
      this.#ready.push({ ...prepared, job, readyAt: this.#hub.clock.steady() })
      this.#go()
    } else {
      await this.#end(job, () => (prepared.kind === "dead" ? bury(job, prepared, this.#hub) : prepared.end()))
    }
  }

  async #send(jobs: readonly ReadyJob[]): Promise<void> {
    const { clock, limits } = this.#hub
    this.#sending++
    const startedAt = clock.now()
    const begunAt = clock.steady()
    const { version } = this.#sender
    const faring = this.#faring
    const batch = batchOf(jobs, startedAt, this.#hub.replies)
    const controller = new AbortController()
    let sent = await new Promise<Sent>((resolve) => {
      const abandon = (answer: Outcome) => resolve({ answer, sign: "down" })
      for (const { job } of jobs) job.sending = { begunAt, controller, abandon }
      this.#hub.engine.queue.begun(jobs.map(({ job }) => job.lease))
      this.#sender.send(batch, controller.signal).then(resolve)
    })
    const now = clock.steady()
    for (const { job } of jobs) job.sending = undefined
    this.#sending--
    this.#lastActiveAt = now
    const isStopped = this.#stopping && controller.signal.aborted
    if (sent.answer.kind === "failed" && isStopped) return this.#giveBackAll(jobs)
    this.#setRate()
    if (sent.answer.kind === "failed" && sent.answer.unsent) return this.#holdBack(jobs, sent.answer, version)
    if (version !== this.#sender.version) sent = ofAnother(sent)
    this.#learn(jobs[0]!.job, sent, now, limits.restMsMax)
    const rest = (ms: number) => this.#rest(Math.min(ms, limits.restMsMax))
    const durationMs = Math.round(now - begunAt)
    // Begun before the next is sent: a trigger whose destination is gone is paused from here on.
    const endings = jobs.map((ready, i) => {
      const attempt = attemptOf(ready, i, { startedAt, durationMs }, batch, sent)
      faring.take(attempt.outcome, now, clock.now())
      const isShared = jobs.length > 1 && sent.each === undefined
      return this.#end(ready.job, () => conclude({ ...ready, attempt, isShared, lane: this.name, rest }, this.#hub))
    })
    this.#go()
    await Promise.all(endings)
  }

  /** Its destination does not take it yet: it counts as no attempt, and all of them wait. */
  async #holdBack(jobs: readonly ReadyJob[], outcome: Failed, version: number): Promise<void> {
    const { clock, limits } = this.#hub
    if (version === this.#sender.version && outcome.retryAfterMs) {
      this.#faring.note(outcome, clock.now())
      this.#rest(Math.min(outcome.retryAfterMs, limits.restMsMax))
    }
    await this.#giveBackAll(jobs)
  }

  /** What an attempt tells of the destination. */
  #learn(job: Job, { answer, sign }: Sent, now: number, restMsMax: number): void {
    if (answer.kind === "failed" && answer.retryAfterMs !== undefined) {
      this.#rest(Math.min(answer.retryAfterMs, restMsMax), now)
    }
    const seen = { sign, probe: job.probe, now }
    this.#setBreaker(breakerAfter(breakerAt(this.#breaker, now), seen, this.#hub.chance), answer.detail)
  }

  #rest(ms: number, now = this.#hub.clock.steady()): void {
    this.#shared.restUntil = Math.max(this.#shared.restUntil, now + ms)
  }

  #setBreaker(breaker: Breaker, why: string): void {
    const before = this.#breaker.kind
    this.#breaker = breaker
    if (before === breaker.kind) return
    this.#hub.observe.breaker?.(this.name, breaker.kind)
    void this.#hub.telling.breaker(this.name, breaker, why)
  }

  /** The last of a job: `how` ends its lease. */
  async #end(job: Job, how: () => Promise<unknown>): Promise<void> {
    try {
      await how()
    } catch (error) {
      // Whatever it was, one delivery must not stop the others: its lease lapses, and it comes again.
      this.#hub.gate.trouble(error, "ending a delivery")
    }
    this.#jobs.delete(job)
    if (job.probe) this.#probes--
    this.#slots.give(1)
    if (this.#jobs.size === 0) this.#emptied?.()
    this.#go()
  }

  #giveBackReady(): void {
    if (!isReplayLane(this.name)) this.#shared.isWanted = false
    void this.#giveBackAll(this.#ready.clear())
  }

  /** As if they had not been leased. */
  async #giveBackAll(jobs: readonly ReadyJob[]): Promise<void> {
    const { gate } = this.#hub
    const release = { kind: "release", delayMs: 0 } as const
    await Promise.all(jobs.map(({ job }) => this.#end(job, () => gate.end(job.lease, release))))
  }

  /** Calls again at `at`, or before. Answers 0, for whoever has no room until then. */
  #wakeAt(at: number): 0 {
    if (this.#stopping || (this.#timer && this.#timer.at <= at)) return 0
    this.#timer?.cancel()
    const { clock } = this.#hub
    const cancel = clock.after(Math.max(1, at - clock.steady()), () => {
      this.#timer = undefined
      this.#go()
    })
    this.#timer = { at, cancel }
    return 0
  }
}
