import { attemptsTopic, deadLettersTopic, formatTopic, isReservedTopic } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { DamagedError, InvalidCursorError } from "../../core/errors.ts"
import type { From, StoredEvent } from "../../core/log.ts"
import { createPace } from "../../core/pace.ts"
import type { ApiContext } from "../context.ts"
import type { Share } from "../room.ts"

/*
 * What caused an event and what it caused, by `causationid`: the id of the event before. No index has that, so what cannot
 * be derived (forwarded events bear their delivery's id, replies have it as their key, records of the hub the event's cursor) is
 * looked for in the log, near the event, and within bounds that the answer tells.
 */

const depthMax = 16
/** Events looked at for what was caused, and for what is a cause. */
const forwardMax = 50_000
const backwardMax = 20_000
/** How long is looked, each way: other tenants' events cost time too. */
const searchMsMax = 2_000
/** Those of them that say what caused them. */
const linksMax = 10_000
const correlatedMax = 50
/** How far back a cause is looked for, in stages: most are near. */
const backwardStagesMs = [1_000, 10_000, 60_000, 600_000] as const

/** An event of a flow, without its data. */
export interface FlowEvent {
  readonly cursor: Cursor
  readonly id: string
  readonly source: string
  readonly type: string
  readonly topic: string
  readonly storedAt: string
  readonly subject?: string
  readonly causationid?: string
  readonly correlationid?: string
  /** The trigger whose delivery made it, where the hub did. */
  readonly trigger?: string
}

export interface CausedEvent extends FlowEvent {
  readonly caused?: readonly CausedEvent[]
}

export interface Lineage {
  /** The event's cause, the cause of that, and so on. */
  readonly causes: readonly FlowEvent[]
  /** The id of the cause that was not found, with which `causes` ends. */
  readonly causeMissing?: string
  readonly caused: readonly CausedEvent[]
  /** False where more are known than were asked for, or than are followed. */
  readonly causedComplete: boolean
  /** Events of the same flow that were met, of which it is not known how they belong. */
  readonly correlated: readonly FlowEvent[]
  /** What was looked at after the event; not complete: there was more. */
  readonly searched: { readonly events: number; readonly complete: boolean }
}

/** What is known of an event's place in its flow. `eventsMax`: of those that it caused. */
export async function lineageOf(
  context: ApiContext,
  stored: StoredEvent,
  eventsMax: number,
  share: Share,
): Promise<Lineage> {
  const { causes, missing } = await causesOf(context, stored)
  const flow = String(stored.event.attribute("correlationid") ?? stored.event.id)
  const found = await searchAfter(context, stored, flow, share)
  const known = new Set<string>([stored.cursor, ...causes.map(({ cursor }) => cursor)])
  const effects = new Effects(found.links, known, eventsMax)
  const caused = effects.of(flowEvent(stored), 1)
  const correlated = found.links
    .filter((each) => each.correlationid === flow && !known.has(each.cursor) && !isRecord(each))
    .slice(0, correlatedMax)
  const { events, complete } = found
  return {
    causes,
    ...(missing !== undefined && { causeMissing: missing }),
    caused,
    causedComplete: effects.complete,
    correlated,
    searched: { events, complete },
  }
}

/** An event as journeys show it. */
export function flowEvent({ address, cursor, storedAt, event }: StoredEvent, parent?: FlowEvent): FlowEvent {
  const text = (name: string) => {
    const value = event.attribute(name)
    return value === undefined ? {} : { [name]: String(value) }
  }
  const trigger = parent && (triggerOf(event.id, parent.cursor) ?? triggerOf(address.key ?? "", parent.cursor))
  return {
    cursor,
    id: event.id,
    source: event.source,
    type: event.type,
    topic: formatTopic(address),
    storedAt: new Date(storedAt).toISOString(),
    ...text("subject"),
    ...text("causationid"),
    ...text("correlationid"),
    ...(trigger !== undefined && { trigger }),
  }
}

/** The trigger whose delivery of the event at `cursor` has this id. */
function triggerOf(id: string, cursor: string): string | undefined {
  if (!id.startsWith(`${cursor}.`)) return undefined
  // With the incarnation, which is longer than any count of attempts that records' ids end in.
  return /^([a-z0-9-]+)(\.[a-z0-9]{9,})?$/.exec(id.slice(cursor.length + 1))?.[1]
}

function isRecord({ topic }: FlowEvent): boolean {
  return topic.startsWith(`${attemptsTopic}:`) || topic.startsWith(`${deadLettersTopic}:`)
}

/** The events that some event caused, out of those that say what caused them. */
class Effects {
  /** Whether all were taken that there are. */
  complete = true
  readonly #byCause = new Map<string, FlowEvent[]>()
  readonly #known: Set<string>
  #room: number

  constructor(links: readonly FlowEvent[], known: Set<string>, eventsMax: number) {
    this.#known = known
    this.#room = eventsMax
    for (const link of links) {
      const cause = link.causationid
      if (cause === undefined) continue
      const others = this.#byCause.get(cause)
      if (others) others.push(link)
      else this.#byCause.set(cause, [link])
    }
  }

  /** Ids of several sources may be alike: what belongs to another flow is not this one's, nor what came before it. */
  of(parent: FlowEvent, depth: number): readonly CausedEvent[] {
    const flow = parent.correlationid ?? parent.id
    const own = (this.#byCause.get(parent.id) ?? []).filter(
      ({ cursor, correlationid, storedAt }) =>
        !this.#known.has(cursor) &&
        storedAt >= parent.storedAt &&
        (correlationid === undefined || parent.correlationid === undefined || correlationid === flow),
    )
    const caused: CausedEvent[] = []
    for (const each of own) {
      if (this.#room <= 0 || depth > depthMax) {
        this.complete = false
        break
      }
      this.#known.add(each.cursor)
      this.#room--
      const below = this.of(each, depth + 1)
      if (each.topic.startsWith(`${attemptsTopic}:`) && below.length === 0) {
        // Attempts are shown with their deliveries: here they matter for what they caused alone.
        this.#room++
        continue
      }
      const key = each.topic.slice(each.topic.indexOf(":") + 1)
      const trigger = triggerOf(each.id, parent.cursor) ?? triggerOf(key, parent.cursor)
      caused.push({ ...each, ...(trigger && { trigger }), ...(below.length > 0 && { caused: below }) })
    }
    return caused
  }
}

interface Found {
  readonly links: readonly FlowEvent[]
  readonly events: number
  readonly complete: boolean
}

/** What comes after the event and says that it was caused, or belongs to the flow. */
async function searchAfter(context: ApiContext, stored: StoredEvent, flow: string, share: Share): Promise<Found> {
  const { log } = context.engine
  const { tenant } = stored.address
  const own = log.partitionOf(stored.address)
  const pace = createPace(context.clock)
  const links: FlowEvent[] = []
  const deadline = context.clock.steady() + searchMsMax
  const eventsMax = Math.ceil(forwardMax / log.partitions)
  let [events, complete] = [0, true]
  for (let partition = 0; partition < log.partitions; partition++) {
    const from: From = partition === own ? stored.cursor : { time: stored.storedAt }
    let read = 0
    const until = await log.head(partition)
    for await (const batch of log.read({ where: { tenant }, partition, from, until })) {
      for (const each of batch.events) {
        if (!isLinked(each, flow)) continue
        share.add(each.event.attributesJson.length)
        links.push(flowEvent(each))
      }
      read += batch.events.length
      await pace()
      const over = context.stop.aborted || context.clock.steady() > deadline
      if (read < eventsMax && links.length < linksMax && !over) continue
      complete = false
      break
    }
    events += read
  }
  return { links, events, complete }
}

/** Looks at the bytes first: most events say neither, and need not be parsed. */
function isLinked({ event }: StoredEvent, flow: string): boolean {
  const json = event.attributesJson
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.length)
  if (bytes.includes('"causationid"')) return event.attribute("causationid") !== undefined
  return bytes.includes('"correlationid"') && event.attribute("correlationid") === flow
}

async function causesOf(
  context: ApiContext,
  stored: StoredEvent,
): Promise<{ readonly causes: readonly FlowEvent[]; readonly missing?: string }> {
  const causes: FlowEvent[] = []
  const budget = { events: backwardMax, deadline: context.clock.steady() + searchMsMax }
  let at = stored
  while (causes.length < depthMax) {
    const id = at.event.attribute("causationid")
    if (id === undefined) return { causes }
    const cause = await causeOf(context, at, String(id), budget)
    if (cause === undefined) return { causes, missing: String(id) }
    if (cause.cursor === stored.cursor || causes.some(({ cursor }) => cursor === cause.cursor)) return { causes }
    causes.push(flowEvent(cause))
    at = cause
  }
  return { causes }
}

/** What is left of the search for causes. */
interface Budget {
  events: number
  readonly deadline: number
}

async function causeOf(
  context: ApiContext,
  stored: StoredEvent,
  id: string,
  budget: Budget,
): Promise<StoredEvent | undefined> {
  const { log } = context.engine
  const { address, event } = stored
  // A forwarded event bears its delivery's id, a reply has it as its key, and a record of the hub the event's cursor.
  const { key = "" } = address
  for (const named of new Set([isReservedTopic(address.topic) ? key : cursorIn(key), cursorIn(event.id)])) {
    const derived = named === "" ? undefined : await tryGet(context, named as Cursor)
    if (derived?.address.tenant === address.tenant && derived.event.id === id) return derived
  }
  const beside = await log.find({ tenant: address.tenant, topic: address.topic }, { source: event.source, id })
  return beside ?? searchBefore(context, stored, id, budget)
}

/** What a delivery's id begins with. */
function cursorIn(id: string): string {
  return id.slice(0, Math.max(0, id.indexOf(".")))
}

async function tryGet({ engine }: ApiContext, cursor: Cursor): Promise<StoredEvent | undefined> {
  try {
    return await engine.log.get(cursor)
  } catch (error) {
    if (error instanceof InvalidCursorError || error instanceof DamagedError) return undefined
    throw error
  }
}

async function searchBefore(
  context: ApiContext,
  { address: { tenant }, storedAt }: StoredEvent,
  id: string,
  budget: Budget,
): Promise<StoredEvent | undefined> {
  const { log } = context.engine
  const pace = createPace(context.clock)
  let to = storedAt + 1
  for (const stageMs of backwardStagesMs) {
    const time = storedAt - stageMs
    for (let partition = 0; partition < log.partitions; partition++) {
      const until = await log.at(to, partition)
      for await (const { events } of log.read({ where: { tenant }, partition, from: { time }, until })) {
        const found = events.find(({ event }) => event.id === id)
        if (found !== undefined) return found
        budget.events -= events.length
        if (budget.events <= 0 || context.clock.steady() > budget.deadline) return undefined
        await pace()
      }
    }
    to = time
  }
  return undefined
}
