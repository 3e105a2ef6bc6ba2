import type { Delivery, Outcome } from "../src/core/delivery.ts"
import { isEdit } from "../src/core/edits.ts"
import { type Attributes, Event } from "../src/core/event.ts"
import { createSimulatedChance, type SimulatedChance } from "../src/testing/chance.ts"
import { createSimulatedClock, type SimulatedClock } from "../src/testing/clock.ts"
import {
  createSimulatedNetwork,
  type Receipt,
  type Sending,
  type SimulatedNetwork,
} from "../src/testing/destinations.ts"
import { createSimulatedDisk, type SimulatedDisk } from "../src/testing/disk.ts"
import { createSimulatedStore, type SimulatedStore } from "../src/testing/store.ts"
import { createWorkMeter } from "../src/testing/work.ts"
import { editFault } from "./edits.ts"
import { type Invariant, InvariantError, identityOf, isSame, RunRecord } from "./record.ts"
import { noteAnswer } from "./replies.ts"
import { limitedTenant } from "./shares.ts"
import { createTrace, type Trace } from "./trace.ts"
import { firesMaybe } from "./triggers.ts"

/** When every run begins, so that times look like times. */
export const startMs = Date.UTC(2026, 0, 1)

/** Everything that outlives the hub's process. */
export interface World {
  readonly seed: number
  readonly clock: SimulatedClock
  readonly chance: SimulatedChance
  readonly disk: SimulatedDisk
  readonly store: SimulatedStore
  readonly network: SimulatedNetwork
  readonly trace: Trace
  readonly record: RunRecord
  /** Whether something is done to the log's files in this run. */
  readonly damagesLog: boolean
  /** Whether one tenant has limits of its own in this run. */
  readonly limitsTenant: boolean
  /** The first promise that was found broken. */
  violation: InvariantError | undefined
  violate(error: InvariantError): void
  /** The first error that nothing expects: a bug, of the hub or of the simulator. */
  failure: Error | undefined
  fail(error: Error): void
}

/** No piece of work asks so much between two steps of time. */
const asksMax = 200_000

/** What is not promised once the hub's own records are damaged. */
const ofState: readonly Invariant[] = [2, 3, 4, 6, 7]

/** The disk's size while nothing is wrong with it. */
export const diskBytes = 64 << 20

export function createWorld(seed: number, keep?: (line: string) => void): World {
  const meter = createWorkMeter(asksMax, ({ stack }) => world.violate(new InvariantError(8, `never ends: ${stack}`)))
  const clock = createSimulatedClock(startMs, meter)
  const chance = createSimulatedChance(seed, clock)
  const trace = createTrace(clock, keep)
  const record = new RunRecord()
  const latencyMs = latencies(chance.fork("latency"))
  const world: World = {
    seed,
    clock,
    chance,
    trace,
    record,
    damagesLog: chance.fork("damage").happens(0.25),
    limitsTenant: chance.fork("shares").happens(0.25),
    disk: createSimulatedDisk({ chance: chance.fork("disk"), bytesMax: diskBytes, latencyMs }),
    store: createSimulatedStore({ chance: chance.fork("store"), latencyMs, meter }),
    network: createSimulatedNetwork({
      clock,
      chance: chance.fork("network"),
      onSend: (sending) => sent(world, sending),
      onReceipt: (receipt) => received(world, receipt),
      onOutcome: (sending, outcome) => learned(world, sending, outcome),
      onAnswer: (answering) => noteAnswer(world, answering),
    }),
    violation: undefined,
    violate(error) {
      // Of resources and deliveries a hub whose own records are damaged may know what was so before.
      if (world.violation || (record.damage.ofState && ofState.includes(error.invariant))) return
      trace.line(`BROKEN invariant ${error.invariant}: ${error.message}`)
      world.violation = error
    },
    failure: undefined,
    fail(error) {
      world.failure ??= error
    },
  }
  return world
}

function sent(world: World, sending: Sending): void {
  const { record, trace, violate } = world
  const { delivery, attempt } = sending.dispatch
  record.count(delivery.trigger === testTrigger ? "tests" : "sends")
  if (delivery.trigger === testTrigger) return
  trace.line(`send ${delivery.id} attempt ${attempt} to ${sending.endpoint}`)
  record.delivery(delivery.id).sends++
  const fault = faultOf(record, sending) ?? restlessness(world, sending) ?? excess(world, sending)
  if (fault) violate(fault)
}

/** A destination that asked for rest has it, from the moment at which the hub heard of it. */
function restlessness({ record, clock }: World, { endpoint, dispatch }: Sending): InvariantError | undefined {
  const rest = record.rests.get(endpoint)
  const now = clock.now()
  if (!rest || now <= rest.since || now >= rest.until) return undefined
  // Of a destination that was changed nothing is known, as soon as those who deliver have heard of the change.
  const model = record.models.get(`destination/${dispatch.delivery.tenant}/${dispatch.delivery.destination}`)
  if (model?.spans.some(({ from }) => from >= rest.since - hearMs)) return undefined
  return new InvariantError(3, `${dispatch.delivery.id} was sent ${rest.until - now} ms before ${endpoint} wants more`)
}

/** No tenant has more than its limits. */
function excess({ record, clock, limitsTenant }: World, sending: Sending): InvariantError | undefined {
  if (!limitsTenant || sending.dispatch.delivery.tenant !== limitedTenant) return undefined
  const wrong = record.limited.begins(sending, clock.now())
  return wrong === undefined ? undefined : new InvariantError(6, wrong)
}

function learned({ record, clock }: World, sending: Sending, outcome: Outcome): void {
  const { endpoint, dispatch } = sending
  record.limited.ends(sending)
  if (dispatch.delivery.trigger === testTrigger) return
  if (outcome.kind === "delivered" || outcome.retryAfterMs === undefined) return
  const since = clock.now()
  const until = Math.max(since + outcome.retryAfterMs, record.rests.get(endpoint)?.until ?? 0)
  record.rests.set(endpoint, { since, until })
}

/** A machine's disk: a fast one, a slow one, or one that stalls at times. */
function latencies(chance: SimulatedChance): () => number {
  const [usual, stall, stalls] = chance.pick([
    [0.5, 20, 0.02],
    [0.5, 20, 0.02],
    [8, 60, 0.05],
    [2, 300, 0.02],
  ] as const)
  return () => (chance.happens(stalls) ? stall : usual) * (0.2 + 0.8 * chance.next())
}

/** What was changed is heard of this soon. */
const hearMs = 2_000

/** What the API names as the trigger of a test. */
const testTrigger = "redcar.test"

/** What leaves the hub is what was published, for a trigger that it fired, of the same tenant, under a lease. */
function faultOf(record: RunRecord, { endpoint, dispatch }: Sending): InvariantError | undefined {
  const { delivery, stored } = dispatch
  const { id, tenant } = delivery
  const triggers = record.triggersFor(delivery)
  const published = record.source(identityOf(stored.address, stored.event))
  if (triggers.length === 0) return new InvariantError(2, `${id} is for a trigger that nobody made`)
  if (!published) return new InvariantError(1, `${id} brings an event that nobody published`)
  if (!isSame(published.event, unmarked(stored.event, delivery))) {
    return new InvariantError(1, `${id} brings an event that is not as it was published`)
  }
  if (stored.address.tenant !== tenant || !endpoint.startsWith(`${tenant}-`)) {
    return new InvariantError(5, `${id} of ${stored.address.tenant} went to ${endpoint}`)
  }
  if (isEdit(stored.event)) return editFault(delivery, stored.event) ?? leaseFault(record, id)
  // What is replayed may be from before its trigger began.
  if (delivery.replay === undefined && !triggers.some((trigger) => firesMaybe(record, trigger, stored))) {
    return new InvariantError(2, `${id} was made, and the event never fired its trigger`)
  }
  return leaseFault(record, id)
}

function leaseFault(record: RunRecord, id: string): InvariantError | undefined {
  return record.delivery(id).leased ? undefined : new InvariantError(4, `${id} was sent without a lease`)
}

/** As it is in the log: what is replayed says so. */
function unmarked(event: Event, { replay }: Delivery): Event {
  if (replay === undefined || event.attribute("redcarreplay") !== replay) return event
  const { redcarreplay: _, ...attributes } = event.attributes
  return Event.of(attributes as Attributes, event.data, event.dataKind)
}

function received({ record, trace }: World, { at, endpoint, dispatch, status, isShared }: Receipt): void {
  if (dispatch.delivery.trigger === testTrigger) return
  const delivery = record.delivery(dispatch.delivery.id)
  if (isShared) record.count("in company")
  trace.line(`${endpoint} received ${delivery.id} attempt ${dispatch.attempt}: ${status ?? "no answer"}`)
  delivery.firstReceiptAt ??= at
  if (status === undefined) return
  if (status < 300) delivery.taken++
  // Of several none was refused for what it is.
  else if (status >= 400 && status < 500 && !isShared) delivery.refused++
}
