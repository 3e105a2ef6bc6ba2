import type { Clock } from "../src/core/clock.ts"
import { delayedDestination } from "../src/core/delayed.ts"
import type { Ending, Lease, Leasing, LeasingAnywhere } from "../src/core/deliveries.ts"
import type { Delivery, TriggerName } from "../src/core/delivery.ts"
import { LeaseLostError } from "../src/core/errors.ts"
import type { DeliveryQueue } from "../src/core/queue.ts"
import { type DeliveryRecord, InvariantError, type LeaseRecord, type RunRecord } from "./record.ts"
import type { Trace } from "./trace.ts"

export interface ObserverOptions {
  readonly queue: DeliveryQueue
  readonly record: RunRecord
  readonly trace: Trace
  readonly clock: Clock
  /** Whether this life still goes on: what a dead process answers was heard by nobody. */
  readonly alive: () => boolean
  /** Now and then does it again, some time later: whoever heard no answer may ask twice. */
  readonly stutter: (again: () => Promise<void>) => void
  readonly onViolation: (error: InvariantError) => void
}

/** The queue as the hub uses it, with every lease and its end checked as it happens (invariants 2, 3 and 4). */
export function observeQueue(options: ObserverOptions): DeliveryQueue {
  const { queue } = options
  return {
    ...forward(queue),
    ...observeLeasing(options, queue),
    begun(leases) {
      queue.begun(leases)
      for (const { delivery, token } of options.alive() ? leases : []) {
        const { live } = options.record.delivery(delivery.id)
        if (live?.token === token) live.begunAt = options.clock.steady()
      }
    },
    anywhere: { ...queue.anywhere, ...observeLeasing(options, queue.anywhere), ...observeKeeping(options) },
    async enqueue(deliveries, position) {
      try {
        await queue.enqueue(deliveries, position)
        if (options.alive()) options.record.order.enqueued(deliveries, (id) => options.record.delivery(id))
        if (position && deliveries.length > 0) options.stutter(() => queue.enqueue(deliveries, position))
      } catch (error) {
        // What could be leased before it was stored is not to be stored: no lease on it holds any more.
        for (const { id } of options.alive() ? deliveries : []) {
          const { live } = options.record.delivery(id)
          if (live) live.voided = true
        }
        throw error
      }
    },
    move: (of, destination) => move(options, of, destination),
    async redrive(tenant, id, as) {
      if (as !== undefined) return replacing(options, tenant, id, as)
      putBack(options, id, "redrive")
      return queue.redrive(tenant, id)
    },
    async carry(items) {
      for (const item of items) if (item.kind === "open") putBack(options, item.delivery.id, "resend")
      return queue.carry(items)
    },
    discard: (tenant, id) => discarding(options, tenant, id),
  }
}

function observeLeasing(options: ObserverOptions, leasing: Leasing): Leasing {
  return {
    async lease(request) {
      const at = options.clock.now()
      const leases = await leasing.lease(request)
      if (options.alive()) for (const lease of leases) leased(options, lease, at + request.leaseMs)
      return leases
    },
    async extend(lease, leaseMs) {
      const at = options.clock.now()
      await leasing.extend(lease, leaseMs)
      if (!options.alive()) return
      const { live } = options.record.delivery(lease.delivery.id)
      const { kept } = options.record.delivery(lease.delivery.id)
      if (live?.token === lease.token) live.untilMs = kept ? live.untilMs : at + leaseMs
      else if (live !== undefined || !kept)
        options.onViolation(new InvariantError(4, `a lost lease on ${lease.delivery.id} was extended`))
    },
    end: (lease, how) => ending(options, lease, how, () => leasing.end(lease, how)),
  }
}

function observeKeeping({ queue: { anywhere }, record, trace, alive }: ObserverOptions) {
  const keeping: Pick<LeasingAnywhere, "keep" | "unlock"> = {
    async keep(lane, names) {
      const kept = await anywhere.keep(lane, names)
      if (!alive()) return kept
      for (const { id, token } of names.filter((_, i) => kept[i])) {
        const delivery = record.delivery(id)
        // It may have been unlocked before this answer.
        if (delivery.live?.token !== token || delivery.live.voided) continue
        trace.line(`keep ${id} token ${token}`)
        record.count("kept")
        delivery.kept = true
        delivery.live.untilMs = Number.POSITIVE_INFINITY
      }
      return kept
    },
    async unlock(lane, ids) {
      const lives = alive() ? ids.map((id) => [id, unlocking(record.delivery(id))] as const) : []
      const unlocked = await anywhere.unlock(lane, ids)
      if (!alive()) return unlocked
      for (const [id, live] of lives) {
        const delivery = record.delivery(id)
        if (unlocked.includes(id)) delete delivery.kept
        if (!live || delivery.live !== live || live.ending) continue
        if (unlocked.includes(id)) delete delivery.live
        else Object.assign(live, { voided: false, unlocking: false })
      }
      record.count("unlocked", unlocked.length)
      if (unlocked.length > 0) trace.line(`unlock ${unlocked.join(" ")}`)
      return unlocked
    },
  }
  return keeping
}

/** Its lease may be over from here on. */
function unlocking(delivery: DeliveryRecord): LeaseRecord | undefined {
  if (delivery.kept) delivery.kept = "unclear"
  const { live } = delivery
  if (live && !live.voided) Object.assign(live, { voided: true, unlocking: true })
  return live?.unlocking ? live : undefined
}

async function move({ queue, record, trace }: ObserverOptions, of: TriggerName, destination: string): Promise<number> {
  trace.line(`move ${of.trigger}.${of.incarnation} to ${destination}`)
  const over = record.moving(of)
  record.order.forget(of)
  try {
    const moved = await queue.move(of, destination)
    record.count("moved", moved)
    return moved
  } finally {
    over()
  }
}

/** What was over is asked to go on. */
function putBack({ record, trace }: ObserverOptions, id: string, how: "redrive" | "resend"): void {
  const delivery = record.delivery(id)
  delivery.redrives++
  record.order.letGo(id)
  delete delivery.ended
  delete delivery.rest
  delete delivery.unended
  trace.line(`${how} ${id}`)
  record.count(`${how}s`)
}

async function discarding(options: ObserverOptions, tenant: string, id: string): Promise<boolean> {
  const { record, trace, queue } = options
  const delivery = record.delivery(id)
  delivery.discarded = true
  record.order.letGo(id)
  trace.line(`discard ${id}`)
  record.count("discards")
  const { redrives } = delivery
  const isDone = await queue.discard(tenant, id)
  if (isDone && options.alive() && delivery.redrives === redrives) delivery.ended = { kind: "discarded" }
  return isDone
}

/** Another delivery is to take the place of a dead letter. */
async function replacing(options: ObserverOptions, tenant: string, id: string, as: Delivery): Promise<boolean> {
  const { record, trace, queue } = options
  const delivery = record.delivery(id)
  delivery.edits = [...(delivery.edits ?? []), as.id]
  record.order.letGo(id)
  trace.line(`redrive ${id} as ${as.id}`)
  record.count("redrives")
  record.count("edits")
  const { redrives } = delivery
  const isDone = await queue.redrive(tenant, id, as)
  if (!isDone || !options.alive()) return isDone
  if (delivery.redrives === redrives) delivery.ended = { kind: "edited" }
  record.order.enqueued([as], (each) => record.delivery(each))
  return true
}

/** The methods that are passed on as they are; a class's methods are not its own properties. */
function forward(queue: DeliveryQueue): DeliveryQueue {
  return {
    enqueue: (deliveries, position) => queue.enqueue(deliveries, position),
    position: (reader) => queue.position(reader),
    claim: (fence) => queue.claim(fence),
    forget: (reader) => queue.forget(reader),
    lanes: (stop) => queue.lanes(stop),
    lease: (options) => queue.lease(options),
    begun: (leases) => queue.begun(leases),
    extend: (lease, leaseMs) => queue.extend(lease, leaseMs),
    end: (lease, how) => queue.end(lease, how),
    anywhere: queue.anywhere,
    held: () => queue.held(),
    resume: (tenant, trigger, incarnation) => queue.resume(tenant, trigger, incarnation),
    drop: (tenant, trigger, incarnation) => queue.drop(tenant, trigger, incarnation),
    move: (of, destination) => queue.move(of, destination),
    open: (delivery) => queue.open(delivery),
    openDeliveries: (query) => queue.openDeliveries(query),
    depth: (lane) => queue.depth(lane),
    reportBy: (report) => queue.reportBy(report),
    statusOf: (lanes) => queue.statusOf(lanes),
    deadLetters: (query) => queue.deadLetters(query),
    deadLetter: (tenant, id) => queue.deadLetter(tenant, id),
    redrive: (tenant, id, as) => queue.redrive(tenant, id, as),
    discard: (tenant, id) => queue.discard(tenant, id),
    carried: () => queue.carried(),
    carry: (items) => queue.carry(items),
  }
}

function leased(options: ObserverOptions, lease: Lease, untilMs: number): void {
  const { record, trace, clock } = options
  const now = clock.now()
  const delivery = record.delivery(lease.delivery.id)
  // With a trigger its reader's position is forgotten: what is enqueued again then is found to be owed no more.
  if (record.isDeleted(lease.delivery)) delete delivery.ended
  const wrong = whyNot(delivery, now)
  trace.line(`lease ${delivery.id} attempt ${lease.attempt} token ${lease.token}`)
  record.count("leases")
  if (wrong) options.onViolation(new InvariantError(wrong.invariant, `${delivery.id} was leased ${wrong.why}`))
  record.order.known(lease.delivery)
  const outOfOrder = record.isDeleted(lease.delivery) ? undefined : record.order.whyNot(lease.delivery, now)
  if (lease.delivery.orderKey !== undefined) record.count("ordered leases")
  if (outOfOrder) options.onViolation(new InvariantError(4, `${delivery.id} was leased ${outOfOrder}`))
  if (isForgotten(options, lease)) {
    const why = `as attempt ${lease.attempt}: attempt ${delivery.unended} was under way when the process died`
    options.onViolation(new InvariantError(3, `${delivery.id} was leased ${why}`))
  }
  delete delivery.rest
  delete delivery.kept
  delete delivery.unended
  delivery.leased = true
  delivery.live = { token: lease.token, attempt: lease.attempt, untilMs, ending: false, voided: false }
}

/** Whether an attempt does not count that should. A note is refused where the disk is full. */
function isForgotten({ record }: ObserverOptions, { delivery, attempt }: Lease): boolean {
  const { unended } = record.delivery(delivery.id)
  if (unended === undefined || attempt > unended || record.isDeleted(delivery)) return false
  return record.damage.count === 0 && !record.counts.has("full disks")
}

function whyNot(
  { live, ended, rest, kept }: DeliveryRecord,
  now: number,
): { invariant: 2 | 3 | 4; why: string } | undefined {
  if (live && !live.ending && !live.voided && live.untilMs > now)
    return { invariant: 4, why: "while another lease on it is alive" }
  if (kept === true) return { invariant: 4, why: "though its lease never lapses, and nobody unlocked it" }
  if (ended) return { invariant: 2, why: `though it was ${ended.kind}` }
  // Within a millisecond whole ones may be rounded either way.
  if (rest && rest.untilMs > now + 1) return { invariant: 3, why: `${rest.untilMs - now} ms too early` }
  return undefined
}

async function ending(options: ObserverOptions, lease: Lease, how: Ending, call: () => Promise<void>): Promise<void> {
  const { record, trace, clock } = options
  // What a dead process does in its memory is nothing to anybody.
  if (!options.alive()) return call()
  const delivery = record.delivery(lease.delivery.id)
  const { live } = delivery
  const valid = live?.token === lease.token && !live.ending && (!live.voided || live.unlocking === true)
  // The lease of an earlier life, which never lapses.
  const isKept = live === undefined && delivery.kept !== undefined
  if (delivery.kept) delivery.kept = "unclear"
  const at = clock.now()
  const { redrives } = delivery
  if (valid) live.ending = true
  record.order.ending(lease.delivery)
  if (how.kind === "dead" && how.holdsKey) record.order.held(lease.delivery)
  try {
    await call()
  } catch (error) {
    if (!options.alive()) throw error
    record.order.known(lease.delivery)
    if (valid) live.ending = false
    if (valid && error instanceof LeaseLostError && delivery.live === live) delete delivery.live
    trace.line(`${how.kind} ${delivery.id} token ${lease.token}: ${(error as Error).name}`)
    throw error
  }
  if (!options.alive()) return
  record.order.known(lease.delivery)
  trace.line(`${how.kind} ${delivery.id} token ${lease.token}`)
  record.count(how.kind)
  delete delivery.kept
  if (!valid && !isKept)
    options.onViolation(new InvariantError(4, `a lost lease on ${delivery.id} was ended with ${how.kind}`))
  if (delivery.live === live) delete delivery.live
  // A dead letter can be put back as soon as it can be found, which is before this answer.
  if (delivery.redrives === redrives) ended(options, lease, how, at)
}

function isCancelled({ record }: ObserverOptions, { delivery: { replay } }: Lease): boolean {
  return replay !== undefined && record.cancelled.has(replay)
}

function ended(options: ObserverOptions, lease: Lease, how: Ending, at: number): void {
  const delivery = options.record.delivery(lease.delivery.id)
  switch (how.kind) {
    case "done":
      // What a deleted trigger owed is owed no more; what publishes a delayed event is sent nowhere.
      delivery.deleted =
        options.record.isDeleted(lease.delivery) ||
        isCancelled(options, lease) ||
        lease.delivery.destination === delayedDestination
      if (delivery.taken === 0 && !delivery.deleted) {
        options.onViolation(new InvariantError(3, `${delivery.id} is done, and no destination took it`))
      }
      delivery.ended = { kind: "done" }
      return
    case "dead":
      delivery.ended = { kind: "dead" }
      return
    case "retry":
    case "release":
      // A new lease may have come before this answer, when the delay is shorter than the way back.
      if (!delivery.live && !options.record.isMoving(lease.delivery)) delivery.rest = { untilMs: at + how.delayMs }
      return
    case "hold":
      return
  }
}
