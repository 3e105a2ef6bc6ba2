import type { Acknowledgement, Failure } from "./load.ts"
import { eventOf, isWhole, type LoadEvent, triggersOf } from "./workload.ts"

/** An event as the hub's log answers it. */
export interface Read {
  readonly topic: string
  readonly id: string
  readonly source: string
  readonly type?: unknown
  readonly data?: unknown
}

/** A time in which nothing could be stored: publishing has to be refused. Milliseconds of performance.now(). */
export interface Outage {
  readonly from: number
  readonly until: number
}

/** All that is known after a run: what was published, and what came of it. */
export interface Account {
  readonly published: number
  readonly acknowledged: ReadonlyMap<string, Acknowledgement>
  readonly failures: readonly Failure[]
  /** Every event of the topics that were published to. */
  readonly log: readonly Read[]
  /** How often each event was delivered, by trigger and by the event's id. */
  readonly taken: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly outages: readonly Outage[]
  /** Whether hubs were killed: then requests to them end without an answer. */
  readonly killsHubs: boolean
  /** What the hubs did that nobody asked for. */
  readonly hubFaults: readonly string[]
}

export interface Verdict {
  /** Empty: all held. */
  readonly faults: readonly string[]
  readonly acknowledged: number
  readonly refused: number
  readonly delivered: number
  /** Deliveries that came again. */
  readonly repeated: number
  /** Events that are in the log again. */
  readonly storedAgain: number
}

/** Holds what came of a run against what was promised. */
export function judge(account: Account): Verdict {
  const counts = [...account.taken.values()].flatMap((events) => [...events.values()])
  const deliveries = counts.reduce((sum, count) => sum + count, 0)
  const places = new Set(account.log.map(placeOf))
  return {
    faults: [
      ...neverAcknowledged(account),
      ...lostEvents(account, places),
      ...storedTwice(account),
      ...damaged(account),
      ...lostDeliveries(account),
      ...strayDeliveries(account, places),
      ...falseAcknowledgements(account),
      ...notRefused(account),
      ...wrongAnswers(account),
      ...account.hubFaults,
    ],
    acknowledged: account.acknowledged.size,
    refused: account.failures.filter(({ what }) => what === 503).length,
    delivered: counts.length,
    repeated: deliveries - counts.length,
    storedAgain: account.log.length - places.size,
  }
}

/** Triggers that have not had an acknowledged event yet, as `<trigger> <id>`. */
export function openDeliveries({ acknowledged, taken }: Pick<Account, "acknowledged" | "taken">): readonly string[] {
  return [...acknowledged.values()].flatMap(({ event }) =>
    triggersOf(event)
      .filter(({ name }) => !taken.get(name)?.has(event.id))
      .map(({ name }) => `${name} ${event.id}`),
  )
}

function placeOf({ topic, source, id }: Pick<LoadEvent, "topic" | "source" | "id">): string {
  return `${topic} ${source} ${id}`
}

function eventOfId(id: string): LoadEvent | undefined {
  return /^e\d+$/.test(id) ? eventOf(Number(id.slice(1))) : undefined
}

const examplesMax = 3

/** One line about all that are wrong in one way; nothing where none is. */
function fault(what: string, wrong: readonly string[]): readonly string[] {
  if (wrong.length === 0) return []
  const more = wrong.length > examplesMax ? ", …" : ""
  return [`${wrong.length} ${what} (${wrong.slice(0, examplesMax).join(", ")}${more})`]
}

function neverAcknowledged({ published, acknowledged }: Account): readonly string[] {
  const left = Array.from({ length: published }, (_, number) => `e${number}`).filter((id) => !acknowledged.has(id))
  return fault("events were never acknowledged, though sent again and again", left)
}

function lostEvents({ acknowledged }: Account, places: ReadonlySet<string>): readonly string[] {
  const lost = [...acknowledged.values()].filter(({ event }) => !places.has(placeOf(event)))
  return fault(
    "acknowledged events are not in the log",
    lost.map(({ event }) => event.id),
  )
}

function storedTwice({ log }: Account): readonly string[] {
  const seen = new Set<string>()
  const again = log.filter((read) => seen.size === seen.add(placeOf(read)).size)
  return fault(
    "events are in the log again",
    again.map(({ id }) => id),
  )
}

function damaged({ log }: Account): readonly string[] {
  const wrong = log.filter((read) => {
    const event = eventOfId(read.id)
    return event === undefined || placeOf(event) !== placeOf(read) || !isWhole(event, read)
  })
  return fault(
    "events in the log are not what was published",
    wrong.map(({ id }) => id),
  )
}

function lostDeliveries(account: Account): readonly string[] {
  return fault("deliveries of acknowledged events have not come", openDeliveries(account))
}

function strayDeliveries({ taken }: Account, places: ReadonlySet<string>): readonly string[] {
  const pairs = [...taken].flatMap(([name, events]) => [...events.keys()].map((id) => ({ name, id })))
  const isDue = ({ name, id }: { readonly name: string; readonly id: string }) => {
    const event = eventOfId(id)
    return event !== undefined && triggersOf(event).some((trigger) => trigger.name === name)
  }
  const text = ({ name, id }: { readonly name: string; readonly id: string }) => `${name} ${id}`
  const due = pairs.filter(isDue)
  const unstored = due.filter(({ id }) => !places.has(placeOf(eventOfId(id)!)))
  return [
    ...fault("deliveries came to triggers that do not match", pairs.filter((pair) => !isDue(pair)).map(text)),
    ...fault("deliveries came of events that are not in the log", unstored.map(text)),
  ]
}

/** Both ends of the request are within the outage, so that nobody can have stored it. */
function within({ from, until }: Outage, sentAt: number, endedAt: number): boolean {
  return sentAt >= from && endedAt <= until
}

function falseAcknowledgements({ acknowledged, outages }: Account): readonly string[] {
  const wrong = [...acknowledged.values()].filter(
    // That it is stored already is known without storing anything.
    ({ sentAt, answeredAt, duplicate }) => !duplicate && outages.some((outage) => within(outage, sentAt, answeredAt)),
  )
  return fault(
    "events were acknowledged while nothing could be stored",
    wrong.map(({ event }) => event.id),
  )
}

function notRefused({ failures, outages }: Account): readonly string[] {
  return outages
    .filter((outage) => !failures.some((one) => one.what === 503 && within(outage, one.sentAt, one.endedAt)))
    .map(
      ({ from, until }) => `publishing was not refused (503) in an outage of ${((until - from) / 1000).toFixed(1)} s`,
    )
}

function wrongAnswers({ failures, killsHubs }: Account): readonly string[] {
  const kinds = Map.groupBy(failures, ({ what }) => what)
  return [...kinds]
    .filter(([what]) => what !== 503 && !(killsHubs && what === "connection"))
    .map(
      ([what, all]) =>
        `publishing failed with ${typeof what === "number" ? what : `no answer (${what})`} ${all.length} times`,
    )
}
