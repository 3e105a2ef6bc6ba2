import { type Account, cursorAt, namedIn, positionOf, type Shown } from "./account.ts"
import { lastOf, type Resources } from "./oracle.ts"
import { type DamageEvent, eventOf, eventOfId, isAsPublished, type Read, triggersOf, trimmedMax } from "./workload.ts"

/** Holds what a hub showed against what was promised; empty where all held. */
export function judge(account: Account): readonly string[] {
  return [
    ...lostEvents(account),
    ...wrongReads(account),
    ...resourcesLost(account),
    ...healthWithoutReason(account),
    ...freshEvents(account),
    ...wrongArrivals(account),
    ...owedDeliveries(account),
    ...deadLettersLost(account),
    ...damagedLetters(account),
    ...parkedLost(account),
    ...readAlone(account),
    ...secondStart(account),
    ...(account.shown.end === 0 ? [] : [`the hub did not stop in order (${account.shown.end})`]),
  ]
}

/** Of a hub on the log of another one: it is the other one now, and has to say so. */
export function judgeElsewhere({ health, end }: Shown): readonly string[] {
  const silent = health.length > 0 ? [] : ["the log and the state are of two hubs, and nothing says so"]
  return [...silent, ...(end === 0 ? [] : [`the hub did not stop in order (${end})`])]
}

const examplesMax = 3

/** One line about all that are wrong in one way; nothing where none is. */
function fault(what: string, wrong: readonly string[]): readonly string[] {
  if (wrong.length === 0) return []
  const more = wrong.length > examplesMax ? ", …" : ""
  return [`${wrong.length} ${what} (${wrong.slice(0, examplesMax).join(", ")}${more})`]
}

/** Promised events that retention cannot have ended, by cursor. */
export function keptEvents({ promised }: Account): ReadonlyMap<string, DamageEvent> {
  const trimmed = [...promised.events].filter(([, { topic }]) => topic === "trimmed")
  const known = new Set(trimmed.map(([, { number }]) => number))
  const unsure = [...promised.possible].filter((number) => eventOf(number).topic === "trimmed" && !known.has(number))
  const kept = Math.max(0, trimmedMax - unsure.length)
  const ended = new Set(trimmed.slice(0, Math.max(0, trimmed.length - kept)).map(([cursor]) => cursor))
  return new Map([...promised.events].filter(([cursor]) => !ended.has(cursor)))
}

/** Promised events that cannot be read, by cursor. */
export function missingEvents(account: Account): ReadonlyMap<string, DamageEvent> {
  const there = new Set([...account.shown.read.values()].flat().map(({ redcarcursor }) => redcarcursor))
  return new Map([...keptEvents(account)].filter(([cursor]) => !there.has(cursor)))
}

/** Whether a health line names where it is. */
function isNamed(health: readonly string[], cursor: string): boolean {
  return namedIn(health).some(({ from, to }) => from <= cursor && cursor <= to)
}

function lostEvents(account: Account): readonly string[] {
  const missing = [...missingEvents(account)]
  const show = ([cursor, { id, topic }]: readonly [string, DamageEvent]) => `${topic} ${id} at ${cursor}`
  const { health } = account.shown
  const { damage } = account
  const { touched } = damage
  const lastRead = lastOf([...account.shown.read.values()].flat().map(({ redcarcursor }) => redcarcursor))
  const isTail = (cursor: string) => !damage.isTold && cursor > lastRead && positionOf(cursor) > knownByState(account)
  const untouched = missing.filter(([cursor]) => !touched.has(cursor))
  const unnamed = missing.filter(([cursor]) => touched.has(cursor) && !isNamed(health, cursor) && !isTail(cursor))
  return [
    ...fault("events that were not damaged cannot be read", untouched.map(show)),
    ...fault("damaged events are missing, and nothing names them", unnamed.map(show)),
  ]
}

/** Up to where the state tells of events that the log has lost. What comes later is nowhere. */
function knownByState({ promised, damage }: Account): number {
  return damage.logDiffers && damage.stateDiffers ? 0 : positionOf(promised.stateEnd)
}

/** Whether both places that tell of a delivery's attempts are damaged. */
function isNoteLost(account: Account, delivery: string): boolean {
  return account.damage.stateDiffers && isEndLost(account, delivery)
}

/** What a delivery's lease may end behind the record of its attempt: attempts of others are told in between. */
const endWithinBytes = 64 << 10

/** Whether damage may have taken what the log tells of an attempt of this delivery, or of the end of its lease. */
function isEndLost({ damage, own }: Account, delivery: string): boolean {
  if (!damage.logDiffers) return false
  const notes = (own.get(delivery) ?? []).map(positionOf)
  const touched = [...damage.touched].map(positionOf)
  return notes.length === 0 || notes.some((at) => touched.some((one) => one >= at && one - at < endWithinBytes))
}

/** Whether what was kept of resources and deliveries is lost in both places, and the hub says so. */
function isHistoryLost({ damage, shown }: Account): boolean {
  return damage.logDiffers && damage.stateDiffers && shown.health.some((line) => line.includes("the hub's own records"))
}

function wrongReads(account: Account): readonly string[] {
  const { promised, shown } = account
  const cursors = new Map([...promised.events].map(([cursor, { number }]) => [number, cursor]))
  const all = [...shown.read].flatMap(([topic, reads]) => reads.map((read) => ({ topic, read })))
  const event = (read: Read) => eventOfId(read.id)
  const unknown = all.filter(({ read, topic }) => {
    const known = event(read)
    return (
      known === undefined ||
      known.topic !== topic ||
      !(promised.possible.has(known.number) || shown.earlier.has(known.number))
    )
  })
  const changed = all.filter(({ read }) => event(read) !== undefined && !isAsPublished(event(read)!, read))
  const elsewhere = all.filter(({ read }) => {
    const cursor = cursors.get(event(read)?.number ?? -1)
    return cursor !== undefined && cursor !== read.redcarcursor
  })
  const show = ({ topic, read }: { readonly topic: string; readonly read: Read }) =>
    `${topic} ${read.id} at ${read.redcarcursor}`
  return [
    ...fault("events are read that were never published there", unknown.map(show)),
    ...fault("events are read with other content", changed.map(show)),
    ...fault("events are read at another place than they were stored", elsewhere.map(show)),
    ...[...shown.read, ...shown.readAtEnd].flatMap(([topic, reads]) => outOfOrder(topic, reads)),
  ]
}

function outOfOrder(topic: string, reads: readonly Read[]): readonly string[] {
  const wrong = reads.filter((read, i) => i > 0 && reads[i - 1]!.redcarcursor >= read.redcarcursor)
  const seen = new Set<string>()
  const twice = reads.filter(({ id }) => seen.size === seen.add(id).size)
  return [
    ...fault(
      `events of ${topic} are out of order`,
      wrong.map(({ id }) => id),
    ),
    ...fault(
      `events of ${topic} are there twice`,
      twice.map(({ id }) => id),
    ),
  ]
}

function resourcesLost(account: Account): readonly string[] {
  const { promised, shown } = account
  if (isHistoryLost(account)) return []
  const differs = (kind: string): readonly string[] => {
    const now = byId(shown.resources, kind)
    const before = byId(promised.resources, kind)
    return [...before].filter(([id, text]) => now.get(id) !== text).map(([id]) => `${kind}/${id}`)
  }
  return fault("resources are gone or not what they were", Object.keys(promised.resources).flatMap(differs))
}

function byId(resources: Resources, kind: string): ReadonlyMap<string, string> {
  return new Map((resources[kind] ?? []).map((one) => [one.id, JSON.stringify(one)]))
}

function healthWithoutReason({ damage, clean, shown }: Account): readonly string[] {
  const intact = clean && !damage.logDiffers && !damage.stateDiffers && damage.what.join() === "nothing"
  return intact ? shown.health.map((line) => `nothing is damaged, and the hub says: ${line}`) : []
}

function freshEvents(account: Account): readonly string[] {
  const { promised, damage, shown } = account
  const lastRead = lastOf([...shown.read.values()].flat().map(({ redcarcursor }) => redcarcursor))
  const known = damage.logDiffers ? knownByState(account) : positionOf(lastOf([...promised.events.keys()]))
  const last = lastOf([lastRead, cursorAt(known)])
  const used = shown.fresh.filter(({ cursor, duplicate }) => duplicate || cursor <= last)
  const atEnd = new Map([...shown.readAtEnd.values()].flat().map((read) => [read.redcarcursor, read]))
  const unread = shown.fresh.filter(({ cursor, number }) => {
    const read = atEnd.get(cursor)
    return read?.id !== eventOf(number).id || !isAsPublished(eventOf(number), read)
  })
  const before = new Map([...promised.events].map(([cursor, { number }]) => [number, cursor]))
  const again = shown.again.filter(({ cursor, number }) => before.get(number) !== cursor)
  const show = ({ number, cursor }: { readonly number: number; readonly cursor: string }) => `d${number} at ${cursor}`
  return [
    ...fault(`new events have places that were used before, up to ${last}`, used.map(show)),
    ...fault("new events cannot be read as they were published", unread.map(show)),
    ...fault("events are stored again though they are there", again.map(show)),
  ]
}

/** The cursor that each event has, by its number. */
function cursorsOf({ promised, shown }: Account): ReadonlyMap<number, string> {
  return new Map([
    ...[...promised.events].map(([cursor, { number }]) => [number, cursor] as const),
    ...shown.fresh.map(({ number, cursor }) => [number, cursor] as const),
  ])
}

function wrongArrivals(account: Account): readonly string[] {
  const { promised, shown } = account
  const cursors = cursorsOf(account)
  const fresh = new Set([...shown.earlier, ...shown.fresh.map(({ number }) => number)])
  const wrong: string[] = []
  const repeated: string[] = []
  for (const { trigger, id, cursor, wrong: what } of shown.arrivals) {
    const event = eventOfId(id)
    const name = `${trigger} ${id} at ${cursor}`
    if (what !== undefined) wrong.push(`${name}: ${what}`)
    else if (!triggersOf(event!).some((one) => one.name === trigger)) wrong.push(`${name}: not this trigger's`)
    else if (!promised.possible.has(event!.number) && !fresh.has(event!.number)) wrong.push(`${name}: never published`)
    else if ((cursors.get(event!.number) ?? cursor) !== cursor) wrong.push(`${name}: another event's delivery`)
    const isExcused = isEndLost(account, `${cursor}.${trigger}`) || isHistoryLost(account)
    if (promised.done.has(`${trigger} ${id}`) && !isExcused) repeated.push(name)
  }
  return [
    ...fault("deliveries came that must not come", wrong),
    ...fault("deliveries came again that were done", repeated),
  ]
}

/** Deliveries that nothing has ended, of events that can be read, as `<trigger> <id>`; those that wait for hours left out. */
export function owed(account: Account): readonly string[] {
  const { promised, shown } = account
  const missing = missingEvents(account)
  const kept = [...keptEvents(account)].filter(([cursor]) => !missing.has(cursor))
  const open = kept.flatMap(([cursor, event]) =>
    triggersOf(event)
      .filter(({ name }) => name !== "later" && !promised.dead.has(`${cursor}.${name}`))
      .map(({ name }) => `${name} ${event.id}`),
  )
  const fresh = shown.fresh.flatMap(({ number }) =>
    triggersOf(eventOf(number)).map(({ name }) => `${name} ${eventOf(number).id}`),
  )
  return [...open, ...fresh].filter((name) => !promised.done.has(name) && !promised.unsure.has(name))
}

function owedDeliveries(account: Account): readonly string[] {
  const come = new Set(account.shown.arrivals.map(({ trigger, id }) => `${trigger} ${id}`))
  const cursors = cursorsOf(account)
  const letters = new Set(account.shown.letters.map(({ id }) => id))
  const isDead = (name: string) => {
    const [trigger, id] = name.split(" ")
    return letters.has(`${cursors.get(eventOfId(id!)!.number)}.${trigger}`)
  }
  const lost = owed(account).filter((name) => !come.has(name))
  // Of a hub that was not stopped some died after their letters were counted.
  const { triggers = [], destinations = [] } = account.shown.resources
  // A trigger's destination has its name.
  const isThere = (name: string) => [triggers, destinations].every((all) => all.some(({ id }) => id === name))
  const isGone = (name: string) => isHistoryLost(account) && !isThere(name.split(" ")[0]!)
  const unknown = lost.filter((name) => !(name.startsWith("dead ") && isDead(name)) && !isGone(name))
  return fault("deliveries that are owed have not come", unknown)
}

function deadLettersLost(account: Account): readonly string[] {
  const { promised, shown, damage } = account
  const there = new Set(shown.letters.map(({ id }) => id))
  const come = new Set(shown.arrivals.map(({ trigger, cursor }) => `${cursor}.${trigger}`))
  const excused = (id: string) =>
    damage.logDiffers && damage.stateDiffers && (come.has(id) || isHistoryLost(account) || isNoteLost(account, id))
  return fault(
    "dead letters are gone",
    [...promised.dead].filter((id) => !there.has(id) && !excused(id)),
  )
}

/** A delivery that was tried before, and whose event cannot be read any more, says so by a dead letter. */
function damagedLetters(account: Account): readonly string[] {
  const { damage, clean, shown } = account
  if (damage.stateDiffers || !clean) return []
  const reasons = new Map(shown.letters.map(({ id, reason }) => [id, reason]))
  const expected = [...missingEvents(account)]
    .filter(([, event]) => triggersOf(event).some(({ name }) => name === "parked"))
    .map(([cursor]) => `${cursor}.parked`)
  return fault(
    "deliveries of events that cannot be read are no dead letters of the reason damaged",
    expected.filter((id) => reasons.get(id) !== "damaged").map((id) => `${id}: ${reasons.get(id) ?? "no letter"}`),
  )
}

function parkedLost(account: Account): readonly string[] {
  const { shown } = account
  if (isHistoryLost(account)) return []
  const wrong = [...shown.later].filter(([id, state]) => state !== "parked" && !isNoteLost(account, id))
  return fault(
    "deliveries do not wait for their retry any more",
    wrong.map(([id, state]) => `${id}: ${state}`),
  )
}

function readAlone(account: Account): readonly string[] {
  const missing = missingEvents(account)
  const asked = [...account.shown.alone].map(([cursor, read]) => ({
    cursor,
    read,
    event: account.promised.events.get(cursor)!,
  }))
  const show = ({ cursor, event }: { readonly cursor: string; readonly event: DamageEvent }) =>
    `${event.id} at ${cursor}`
  // A place of which nobody could know may be another event's by now.
  const isFree = (cursor: string) => missing.has(cursor) && positionOf(cursor) > knownByState(account)
  const wrong = asked.filter(
    ({ cursor, read, event }) => read && !isFree(cursor) && !(read.id === event.id && isAsPublished(event, read)),
  )
  const unread = asked.filter(({ cursor, read, event }) => !read && !missing.has(cursor) && event.topic !== "trimmed")
  return [
    ...fault("events are other ones when read alone", wrong.map(show)),
    ...fault("events can be read in their topic and not alone", unread.map(show)),
  ]
}

function secondStart(account: Account): readonly string[] {
  const { second, readAtEnd, resources } = account.shown
  if (second === undefined) return []
  const there = new Set([...second.read.values()].flat().map(({ redcarcursor }) => redcarcursor))
  const before = [...readAtEnd].flatMap(([topic, reads]) => (topic === "trimmed" ? [] : reads))
  const gone = before.filter(({ redcarcursor }) => !there.has(redcarcursor))
  const unnamed = [...missingEvents(account)].filter(
    ([cursor]) => isNamed(account.shown.health, cursor) && !isNamed(second.health, cursor),
  )
  const ids = (all: Resources) => Object.entries(all).flatMap(([kind, items]) => items.map(({ id }) => `${kind}/${id}`))
  const left = new Set(ids(second.resources))
  const name = ({ trigger, id }: { readonly trigger: string; readonly id: string }) => `${trigger} ${id}`
  const come = new Set(account.shown.arrivals.map(name))
  return [
    ...fault(
      "events are gone after another start",
      gone.map(({ id }) => id),
    ),
    ...fault(
      "missing events are named no more after another start",
      unnamed.map(([, { id }]) => id),
    ),
    ...fault(
      "resources are gone after another start",
      ids(resources).filter((id) => !left.has(id)),
    ),
    ...fault(
      "deliveries came again after another start",
      second.arrivals.map(name).filter((one) => come.has(one)),
    ),
  ]
}
