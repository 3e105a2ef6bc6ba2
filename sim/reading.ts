import { type Call, call, type Json } from "./calls.ts"
import type { Doing, Exemption, Subject } from "./doings.ts"
import { operatorTenant } from "./hub.ts"
import type { Operation } from "./operations.ts"
import { type Acknowledged, InvariantError } from "./record.ts"
import { planFilters } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** What only reads. Whoever asks is shown events of its own tenant, as they were published. */
export const readingDoings: Readonly<Record<string, Doing | Exemption>> = {
  readEvents: { weight: 3, run: readEvents },
  streamEvents: { exempt: "it ends with its client alone; it reads the log as readEvents does" },
  findEvent: {
    weight: 2,
    run: (place, subject, operation) =>
      aboutEvent(place, subject, operation, ({ address, event: { id, source } }) => ({
        parameters: { topic: address.topic, id },
        query: { source },
      })),
  },
  findEvents: { weight: 1, run: findById },
  getEvent: byCursor(2),
  listDeliveries: byCursor(1),
  getJourney: byCursor(1),
  explainTrigger: question(({ trigger: id }, { cursor }) => ({ parameters: { id }, body: { cursor } })),
  explainUnsavedTrigger: question(({ topic }, { cursor }) => ({ body: { topic, filters: [], cursor } })),
  matchTriggers: question((_, { cursor }) => ({ body: { cursor, explain: true } })),
  dryRunTrigger: question(({ trigger: id }) => ({ parameters: { id }, body: { sampleMax: 2 } })),
  dryRunUnsavedTrigger: question(({ topic }, { cursor }) => ({ body: { topic, filters: [], from: cursor } })),
  checkFilters: {
    weight: 0.3,
    run: (place, subject, operation) =>
      ask(place, subject, operation, { body: { filters: planFilters(place.chance) } }),
  },
  getFilterEditorSupport: { weight: 0.1, run: ask },
  listDestinationKinds: { weight: 0.1, run: ask },
  getHealth: { weight: 0.1, run: ask },
  getReadiness: { weight: 0.2, run: ask },
  getStatus: {
    weight: 0.2,
    run: (place, subject, operation) => ask(place, subject, operation, { tenant: operatorTenant }),
  },
  getMetrics: { weight: 0.1, run: ask },
  audit: { weight: 0.2, run: audit },
}

type Question = Omit<Call, "operation" | "tenant"> & { readonly tenant?: string }

async function ask(place: Workplace, { tenant }: Subject, operation: Operation, what: Question = {}): Promise<void> {
  await call(place, { tenant, operation, ...what })
}

/** About an event that was published, of any tenant: those of others are not there. */
async function aboutEvent(
  place: Workplace,
  { tenant }: Subject,
  operation: Operation,
  what: (published: Acknowledged) => Question,
): Promise<void> {
  const { world, chance } = place
  const { acknowledged } = world.record
  if (acknowledged.length === 0) return
  const published = chance.pick(chance.happens(0.5) ? acknowledged : acknowledged.slice(-20))
  const asked = await call(place, { operation, tenant, ...what(published) })
  if (asked.kind !== "answered" || asked.value.status !== 200) return
  if (/^\/v1\/events\//.test(operation.path) && published.address.tenant !== tenant) {
    world.violate(
      new InvariantError(5, `${tenant} was shown the event at ${published.cursor} of ${published.address.tenant}`),
    )
  }
  checkShown(place, tenant, published.address.topic, asked.value.body)
}

function byCursor(weight: number): Doing {
  return {
    weight,
    run: (place, subject, operation) =>
      aboutEvent(place, subject, operation, ({ cursor }) => ({ parameters: { cursor } })),
  }
}

function question(what: (subject: Subject, published: Acknowledged) => Question): Doing {
  return {
    weight: 0.5,
    run: (place, subject, operation) => aboutEvent(place, subject, operation, (published) => what(subject, published)),
  }
}

/** 5: whoever looks for an id, of any tenant, is shown events of it that it has published itself, newest first. */
async function findById(place: Workplace, { tenant }: Subject, operation: Operation): Promise<void> {
  const { world, chance } = place
  const { record } = world
  const { acknowledged } = record
  if (acknowledged.length === 0) return
  const { id, source } = chance.pick(acknowledged).event
  const query = { id, ...(chance.happens(0.3) && { source }) }
  const asked = await call(place, { operation, tenant, query })
  if (asked.kind !== "answered" || asked.value.status !== 200) return
  for (const item of asked.value.body.items as readonly Json[]) {
    const topic = String(item.topic).split(":", 1)[0]
    if (item.id === id && record.source(`${tenant} ${topic} ${item.source} ${id}`)) continue
    world.violate(
      new InvariantError(5, `${tenant} looked for ${id} and was shown ${item.source}#${item.id} on ${item.topic}`),
    )
  }
}

async function readEvents(place: Workplace, { tenant, topic }: Subject, operation: Operation): Promise<void> {
  const { chance } = place
  const query = {
    from: chance.pick(["oldest", "newest", new Date(place.world.clock.now() - 5_000).toISOString()]),
    limit: chance.pick(["1", "20", "1000"]),
    ...(chance.happens(0.3) && { filters: JSON.stringify(planFilters(chance)) }),
  }
  const asked = await call(place, { operation, tenant, parameters: { topic }, query })
  if (asked.kind !== "answered" || asked.value.status !== 200) return
  const events: readonly Json[] = asked.value.body
  for (const [i, event] of events.entries()) {
    checkShown(place, tenant, topic, event)
    if (i === 0 || event.redcarcursor > events[i - 1].redcarcursor) continue
    place.world.violate(new InvariantError(1, `events of ${tenant}/${topic} were read out of order`))
  }
}

/** 1, 5: what is read was published there. */
function checkShown({ world }: Workplace, tenant: string, topic: string, event: Json): void {
  if (event?.specversion === undefined) return
  if (world.record.source(`${tenant} ${topic} ${event.source} ${event.id}`)) return
  world.violate(
    new InvariantError(5, `${tenant} was shown ${event.source}#${event.id} on ${topic}, and never published it`),
  )
}

/** 1: what the hub finds itself is nothing. */
async function audit(place: Workplace, _: Subject, operation: Operation): Promise<void> {
  const asked = await call(place, { operation, tenant: operatorTenant })
  if (asked.kind !== "answered" || asked.value.status !== 200) return
  for (const line of asked.value.text.trim().split("\n")) {
    const report: Json = JSON.parse(line)
    if (report.kind !== "report" || place.world.record.damage.count > 0) continue
    // What a power cut tore, or kept from being begun, is told of where nobody can say that it was never acknowledged.
    const findings = report.findings.filter(
      ({ detail }: Json) => !/never finished writing|unless the hub died/.test(detail),
    )
    if (findings.length === 0) continue
    place.world.violate(new InvariantError(1, `an audit finds ${JSON.stringify(findings[0])}`))
  }
}
