import type { Address } from "../core/address.ts"
import type { Chance, Clock } from "../core/clock.ts"
import { sleep } from "../core/clock.ts"
import type { TriggerName } from "../core/delivery.ts"
import type { Callbacks, DestinationKind } from "../core/destination.ts"
import type { Engine } from "../core/engine.ts"
import { ClosedError } from "../core/errors.ts"
import type { Event } from "../core/event.ts"
import type { LaneWork } from "../core/figures.ts"
import type { Identity } from "../core/identity.ts"
import type { LaneReport } from "../core/lane-status.ts"
import type { Logger } from "../core/logger.ts"
import type { Destination, Trigger } from "../core/resources.ts"
import { noSecrets, type Secrets } from "../core/secrets.ts"
import { Backlog } from "./backlog.ts"
import { Directory, type DirectoryListener } from "./directory.ts"
import { type DeliveryLimits, type DeliveryObserver, deliveryLimits, Gate, type Hub } from "./hub.ts"
import { Lane } from "./lane.ts"
import { Records } from "./records.ts"
import { Releasing } from "./release.ts"
import { Replies, type ReplyPublishing } from "./replies.ts"
import { RestingLanes } from "./resting.ts"
import { SharedOfDestinations } from "./shared.ts"
import { Slots } from "./slots.ts"
import { Telling } from "./telling.ts"

export interface DeliveryOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly chance: Chance
  /** Every kind of destination by its name. */
  readonly kinds: ReadonlyMap<string, DestinationKind>
  /** Default: secrets are stored as they are. */
  readonly secrets?: Secrets
  /** What kinds publish by; see SenderContext. */
  publish(address: Address, event: Event): Promise<void>
  /** By what receivers know the hub; default: it signs no tokens. */
  readonly identity?: Identity | undefined
  /** How what destinations answer with is published. */
  readonly replies: ReplyPublishing
  /** By what receivers may agree later; default: they cannot. */
  readonly callbacks?: Callbacks | undefined
  readonly log: Logger
  readonly observe?: DeliveryObserver
  readonly limits?: Partial<DeliveryLimits>
}

export interface DeliveryWorker {
  /** Rejects when the worker had to stop because of a bug; resolves when it was told to. */
  readonly done: Promise<void>
  /** Every lane that has a sender. */
  lanes(): readonly LaneWork[]
  /** Leases no more, lets what is being sent come to its end for a time, aborts the rest and gives it back uncounted. */
  stop(): Promise<void>
}

/** How long what was aborted may take to end. */
const abortMs = 3_000
const reopenMs = 1_000

/** Brings what is due to its destinations, each in its lane. */
export function startDelivery(options: DeliveryOptions): DeliveryWorker {
  const worker = new Worker(options)
  const done = worker.run()
  return {
    done,
    lanes: () => worker.lanes(),
    async stop() {
      worker.stop()
      await done.catch(() => {})
    },
  }
}

class Worker {
  readonly #hub: Hub
  readonly #lanes = new Map<string, Lane>()
  readonly #resting = new RestingLanes()
  /** Lanes that have due work which workers lease. */
  readonly #pulled = new Set<string>()
  readonly #stop = new AbortController()
  readonly #resuming = new Map<string, TriggerName>()
  readonly #releasing: Releasing
  #findingHeld = false
  #resumes: Promise<void> | undefined
  #sweeping = false

  constructor(options: DeliveryOptions) {
    const { engine, clock, chance, log, kinds, secrets = noSecrets, observe = {} } = options
    const limits = { ...deliveryLimits, ...options.limits }
    const telling = new Telling(clock, log, engine.queue)
    const listener: DirectoryListener = {
      paused: (of, reason) => telling.paused(of, reason),
      active: ({ tenant, id, incarnation = "" }: Trigger) => this.#resume({ tenant, trigger: id, incarnation }),
      destination: (lane, destination) => this.#changed(lane, destination),
    }
    const directory = new Directory({ catalog: engine.catalog, clock, listener })
    this.#hub = {
      engine,
      clock,
      chance,
      log,
      observe,
      limits,
      slots: new Slots(limits.inFlightMax, clock, limits.tenants),
      shared: new SharedOfDestinations(),
      directory,
      backlog: new Backlog(engine.queue, directory),
      records: new Records({ log: engine.log, clock, logger: log, lost: () => observe.recordLost?.() }),
      replies: new Replies({ ...options.replies, log: engine.log, directory }),
      senders: {
        ...{ kinds, secrets, log, identity: options.identity, callbacks: options.callbacks },
        publish: (address, event) => options.publish(address, event),
      },
      gate: new Gate(engine.queue, clock, log),
      telling,
    }
    this.#releasing = new Releasing({ engine, clock, log, stop: this.#stop.signal })
  }

  lanes(): readonly LaneWork[] {
    return [...this.#lanes.values()].map((lane) => lane.work)
  }

  #report(name: string): LaneReport {
    return this.#lanes.get(name)?.report() ?? this.#resting.report(name, this.#hub.clock.steady())
  }

  stop(): void {
    this.#stop.abort()
  }

  async run(): Promise<void> {
    const { signal } = this.#stop
    let failure: { readonly error: unknown } | undefined
    const fail = (error: unknown) => {
      this.#stop.abort()
      if (error instanceof ClosedError || failure) return
      this.#hub.log.error({ err: error }, "delivery stops: this is a bug")
      failure = { error }
    }
    this.#hub.engine.queue.reportBy((lane) => this.#report(lane))
    const ready = Promise.withResolvers<void>()
    const watching = this.#hub.directory.watch(signal, ready.resolve).catch(fail)
    await Promise.race([ready.promise, watching])
    if (!signal.aborted) this.#resumeHeld()
    if (!signal.aborted) await this.#listen(signal).catch(fail)
    await this.#close()
    await watching
    if (failure) throw failure.error
  }

  async #listen(stop: AbortSignal): Promise<void> {
    for await (const name of this.#hub.engine.queue.lanes(stop)) {
      if (stop.aborted) return
      if (this.#releasing.takes(name)) continue
      const lane = this.#lanes.get(name)
      if (lane) lane.wake()
      else this.#open(name)
      this.#sweepLater()
    }
  }

  /** Opens the lane, at once where its destination is known: looking one up must not keep the other lanes waiting. */
  #open(name: string): void {
    const known = this.#hub.directory.destination(name)
    if (known instanceof Promise)
      known.then((found) => this.#opened(name, found)).catch((error) => this.#openLater(name, error))
    else this.#opened(name, known)
  }

  #opened(name: string, destination: Destination | undefined): void {
    if (this.#stop.signal.aborted) return
    if (this.#isPulled(destination)) {
      this.#pulled.add(name)
      return
    }
    const lane = this.#lanes.get(name) ?? new Lane(name, destination, this.#hub, this.#resting.take(name))
    this.#lanes.set(name, lane)
    lane.wake()
  }

  #isPulled(destination: Destination | undefined): boolean {
    return destination !== undefined && this.#hub.senders.kinds.get(destination.kind)?.isPulled === true
  }

  /** What workers leased may have another destination by now, or none; and the other way round. */
  #changed(name: string, destination: Destination | undefined): void {
    if (destination === undefined) this.#resting.forget(name)
    const lane = this.#lanes.get(name)
    if (lane === undefined) {
      if (!this.#isPulled(destination) && this.#pulled.delete(name)) this.#opened(name, destination)
    } else if (this.#isPulled(destination)) {
      this.#lanes.delete(name)
      this.#pulled.add(name)
      void lane.drain().then(() => lane.close())
    } else lane.change(destination)
  }

  #openLater(name: string, error: unknown): void {
    const { gate, clock } = this.#hub
    gate.trouble(error, "looking up a destination")
    clock.after(reopenMs, () => {
      if (!this.#stop.signal.aborted && !gate.stopped) this.#open(name)
    })
  }

  /** While there are lanes: lets those go that have had nothing to do for long. */
  #sweepLater(): void {
    if (this.#sweeping || this.#lanes.size === 0) return
    this.#sweeping = true
    const { clock, limits } = this.#hub
    clock.after(limits.idleMs, () => {
      this.#sweeping = false
      if (this.#stop.signal.aborted) return
      const now = clock.steady()
      for (const [name, lane] of this.#lanes) {
        if (!lane.isIdle(now)) continue
        this.#lanes.delete(name)
        // Failures of its absence say nothing of a destination that comes.
        if (lane.hasDestination) this.#resting.keep(name, lane.faring)
        this.#hub.telling.released(name)
        void lane.close()
      }
      this.#sweepLater()
    })
  }

  /** Makes due what a pause held. */
  #resume({ tenant, trigger, incarnation }: TriggerName): void {
    this.#resuming.set(`${tenant}/${trigger}.${incarnation}`, { tenant, trigger, incarnation })
    this.#resumes ??= this.#resumeAll()
  }

  /** At the start: what is held though its trigger is not paused any more, or gone. */
  #resumeHeld(): void {
    this.#findingHeld = true
    this.#resumes ??= this.#resumeAll()
  }

  /** One trigger after another. */
  async #resumeAll(): Promise<void> {
    const { queue } = this.#hub.engine
    if (this.#findingHeld) {
      this.#findingHeld = false
      await this.#untilDone("finding what is held", async () => {
        for (const of of await queue.held()) if (!(await this.#isPaused(of))) this.#resume(of)
      })
    }
    for (const [path, { tenant, trigger, incarnation }] of this.#resuming) {
      this.#resuming.delete(path)
      await this.#untilDone("resuming a trigger", () => queue.resume(tenant, trigger, incarnation))
    }
    // In the turn in which nothing was left: who comes from now on begins anew.
    this.#resumes = undefined
  }

  async #isPaused(of: TriggerName): Promise<boolean> {
    const { directory } = this.#hub
    return directory.isPaused(of) || (await directory.trigger(of))?.paused !== undefined
  }

  /** Tries until the engine does it, or the worker stops. */
  async #untilDone(what: string, work: () => Promise<unknown>): Promise<void> {
    const { clock, gate } = this.#hub
    for (let done = false; !done && !this.#stop.signal.aborted; ) {
      try {
        await work()
        done = true
      } catch (error) {
        gate.trouble(error, what)
        await sleep(clock, 1_000, this.#stop.signal)
      }
    }
  }

  async #close(): Promise<void> {
    const { clock, limits, gate } = this.#hub
    const lanes = [...this.#lanes.values()]
    const drained = Promise.all(lanes.map((lane) => lane.drain()))
    const over = new AbortController()
    void drained.then(() => over.abort())
    await sleep(clock, limits.stopMs, over.signal)
    if (!over.signal.aborted) {
      for (const lane of lanes) lane.abort()
      await sleep(clock, abortMs, over.signal)
    }
    gate.stopped = true
    await this.#releasing.idle()
    await this.#resumes
    const closed = new AbortController()
    void Promise.all(lanes.map((lane) => lane.close())).then(() => closed.abort())
    await sleep(clock, abortMs, closed.signal)
    this.#hub.telling.close()
  }
}
