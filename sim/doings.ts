import { bodies, patched, patchOf } from "./bodies.ts"
import { call, type Json } from "./calls.ts"
import { type Change, change, look } from "./change.ts"
import { delayedDoings } from "./delayed.ts"
import { letterDoings } from "./letters.ts"
import { useMeanwhile } from "./meanwhile.ts"
import type { Fields, ResourceModel, ResourceName } from "./model.ts"
import { modelOf } from "./models.ts"
import { openDoings } from "./open.ts"
import type { Operation } from "./operations.ts"
import { pruningDoings } from "./pruning.ts"
import { queueDoings } from "./queues.ts"
import { race } from "./race.ts"
import { readingDoings } from "./reading.ts"
import { InvariantError } from "./record.ts"
import { replayDoings } from "./replays.ts"
import { sideSchedules, sideTopics, subscriptionTopics, type Tenant, topics } from "./scenario.ts"
import { subscriptionDoings } from "./subscriptions.ts"
import { publishSomething } from "./workload.ts"
import type { Workplace } from "./workplace.ts"

/** A topic of a tenant. */
export interface Place {
  readonly tenant: Tenant
  readonly topic: string
}

/** What a burst of operations is about. */
export interface Subject extends Place {
  /** May be changed; those that stay are no subject. */ readonly trigger: string
  readonly destination: string
  readonly schedule: string
  readonly subscription: string
}

/** How an operation of the API is done now and then, and what is expected of it. */
export interface Doing {
  /** How often, beside the others. */
  readonly weight: number
  run(place: Workplace, subject: Subject, operation: Operation): Promise<void>
}

/** An operation that no run does. */
export interface Exemption {
  readonly exempt: string
}

const asked = "simulated destinations ask nobody; handshakes.test.ts asks, and is called back"
const rsa = "keys of RSA are made by the system's chance, which no seed repeats; keys.test.ts rotates them at random"

/** Every operation of the API, by its id. */
export const doings: Readonly<Record<string, Doing | Exemption>> = {
  publishEvents: { weight: 10, run: (place, subject) => publishSomething(place, subject) },
  ...resourceDoings("topic", "Topic", "Topics", [3, 3, 4, 3]),
  ...resourceDoings("trigger", "Trigger", "Triggers", [5, 2, 5, 3]),
  ...resourceDoings("destination", "Destination", "Destinations", [3, 2, 3, 2]),
  ...resourceDoings("schedule", "Schedule", "Schedules", [3, 1, 2, 1]),
  ...resourceDoings("subscription", "Subscription", "Subscriptions", [4, 1, 2, 1]),
  ...subscriptionDoings,
  pauseSchedule: { weight: 1, run: (place, subject, operation) => pause(place, subject, operation, true, "schedule") },
  resumeSchedule: {
    weight: 1,
    run: (place, subject, operation) => pause(place, subject, operation, false, "schedule"),
  },
  listNextRuns: {
    weight: 1,
    async run(place, { tenant, schedule: id }, operation) {
      await call(place, { operation, tenant, parameters: { id }, query: { count: "3" } })
    },
  },
  previewRuns: {
    weight: 1,
    async run(place, { tenant }, operation) {
      await call(place, { operation, tenant, body: { cron: "30 2 * * *", timeZone: "Europe/Berlin" } })
    },
  },
  pauseTrigger: { weight: 4, run: (place, subject, operation) => pause(place, subject, operation, true) },
  resumeTrigger: { weight: 5, run: (place, subject, operation) => pause(place, subject, operation, false) },
  rotateSecret: { weight: 1, run: rotate },
  testDestination: {
    weight: 1,
    async run(place, { tenant, destination: id }, operation) {
      await call(place, { operation, tenant, parameters: { id } })
    },
  },
  ...letterDoings,
  ...openDoings,
  ...readingDoings,
  ...replayDoings,
  ...queueDoings,
  ...pruningDoings,
  ...delayedDoings,
  getOpenIdConfiguration: { exempt: rsa },
  getJsonWebKeys: { exempt: rsa },
  rotateIdentityKey: { exempt: rsa },
  agreeToHandshake: { exempt: asked },
  agreeToHandshakeByPost: { exempt: asked },
  issueNatsCredentials: { exempt: "the embedded engine, which runs here, has none" },
  revokeNatsCredentials: { exempt: "the embedded engine, which runs here, has none" },
}

/** Create, replace, patch and delete, as often as the weights say; read one and list. */
function resourceDoings(
  name: ResourceName,
  one: string,
  many: string,
  [create, replace, update, remove]: readonly [number, number, number, number],
): Record<string, Doing> {
  const model = (place: Workplace, subject: Subject) => modelOf(place.world, name, subject.tenant, subject[name])
  const doing = (weight: number, run: (place: Workplace, model: ResourceModel, operation: Operation) => unknown) => ({
    weight,
    run: async (place: Workplace, subject: Subject, operation: Operation) =>
      void (await run(place, model(place, subject), operation)),
  })
  return {
    [`create${one}`]: doing(create, createOne),
    [`replace${one}`]: doing(replace, raced(name, replaceOne)),
    [`update${one}`]: doing(update, raced(name, updateOne)),
    [`delete${one}`]: doing(remove, deleteOne),
    [`get${one}`]: doing(1, (place, model) => model.inTurn(() => look(place, model))),
    [`list${many}`]: {
      weight: 1,
      async run(place, { tenant }, operation) {
        await call(place, { operation, tenant, query: { pageSize: String(place.chance.between(1, 5)) } })
      },
    },
  }
}

async function createOne(place: Workplace, model: ResourceModel, operation: Operation): Promise<void> {
  const body = bodies[model.name](place, model)
  // So that it may start at an event that is not routed yet.
  if (model.name === "trigger" && place.chance.happens(0.5)) {
    const [topic] = String(body.topic).split(":") as [string]
    await publishSomething(place, { tenant: model.tenant as Tenant, topic })
  }
  const paused = model.name === "trigger" ? { paused: place.chance.happens(0.1) } : {}
  const sent = { id: model.id, ...body, ...paused, ...startOf(place, model, body) }
  await change(place, { model, kind: "create", operation, body: sent, next: () => ({ ...body, ...paused }) })
}

/** Where a new trigger or subscription starts: often at one of the newest events that it is for. */
function startOf({ world, chance }: Workplace, { name, tenant }: ResourceModel, body: Fields): Fields {
  if (name !== "trigger" && name !== "subscription") return {}
  const [topic] = String(body.topic).split(":")
  const end = name === "trigger" ? "now" : "newest"
  const its = world.record.acknowledged.filter(({ address }) => address.tenant === tenant && address.topic === topic)
  const start = chance.pick(["now", "oldest", "time", "cursor", "cursor"] as const)
  if (start === "now" || start === "oldest" || its.length === 0) return { start: start === "now" ? end : "oldest" }
  const { cursor, at } = chance.pick(chance.happens(0.3) ? its : its.slice(-1))
  return { start: start === "cursor" ? { cursor } : { time: new Date(at).toISOString() } }
}

type Changing = (place: Workplace, model: ResourceModel, operation: Operation) => Promise<unknown>

/** Of destinations also what two callers ask at once. */
function raced(name: ResourceName, change: Changing): Changing {
  if (name !== "destination") return change
  return (place, model, operation) => (place.chance.happens(0.5) ? race(place, model) : change(place, model, operation))
}

function replaceOne(place: Workplace, model: ResourceModel, operation: Operation) {
  const body = bodies[model.name](place, model)
  return change(place, {
    ...{ model, kind: "put", operation, body, ...manner(place) },
    ...{ parameters: { id: model.id } },
    // Where a trigger's change says nothing of pause, what is stays.
    next: ({ paused }) => ({ ...body, ...(paused === undefined ? {} : { paused }) }),
  })
}

function updateOne(place: Workplace, model: ResourceModel, operation: Operation) {
  const patch = patchOf(place, bodies[model.name](place, model))
  const next = (fields: Fields) => patched(fields, patch)
  const parameters = { id: model.id }
  return change(place, { model, kind: "change", operation, body: patch, parameters, next, ...manner(place) })
}

async function deleteOne(place: Workplace, model: ResourceModel, operation: Operation): Promise<void> {
  const parameters = { id: model.id }
  const asked = { model, kind: "delete", operation, parameters, next: (fields: Fields) => fields } as const
  const how = manner(place)
  const chance = place.chance.fork(`force ${model.path} ${place.world.clock.now()}`)
  const isForced = model.name === "destination" && chance.happens(0.4)
  const query = isForced ? { force: "true", ...how.query } : how.query
  const deleting = change(place, { ...asked, ...how, ...(query && { query }) })
  if (model.name === "topic") await useMeanwhile(place, model, deleting)
  await deleting
}

/** Now and then a change is only tried, or is for a revision that never was. */
function manner({ chance }: Workplace): Pick<Change, "query" | "headers" | "isWrong"> {
  if (chance.happens(0.05)) return { query: { validate_only: "true" } }
  return chance.happens(0.05) ? { headers: { "if-match": '"none"' }, isWrong: true } : {}
}

function pause(
  place: Workplace,
  subject: Subject,
  operation: Operation,
  paused: boolean,
  name: "trigger" | "schedule" = "trigger",
): Promise<void> {
  return pauseOrResume(place, modelOf(place.world, name, subject.tenant, subject[name]), operation, paused)
}

/** Pauses a trigger or a schedule, or lets it go on. */
export async function pauseOrResume(place: Workplace, model: ResourceModel, operation: Operation, paused: boolean) {
  const parameters = { id: model.id }
  const next = (fields: Fields) => ({ ...fields, paused })
  await change(place, { model, kind: "change", operation, parameters, next, ...manner(place) })
}

async function rotate(place: Workplace, { tenant, destination }: Subject, operation: Operation): Promise<void> {
  const model = modelOf(place.world, "destination", tenant, destination)
  const asked = { model, kind: "change", operation, parameters: { id: destination } } as const
  const issued = await change(place, { ...asked, body: { overlap: "1m" }, next: (fields) => fields })
  const changes = model.spans.length
  if (issued?.status !== 200) return
  const reading = place.operations.get("getDestination")!
  const read = await call(place, { operation: reading, tenant, parameters: { id: destination } })
  // Once it is changed again it may have another key.
  if (read.kind !== "answered" || read.value.status !== 200 || model.spans.length !== changes) return
  const keys: readonly Json[] = read.value.body.signingKeys
  if (keys.some(({ id }) => id === issued.body.id)) return
  place.world.violate(new InvariantError(7, `${model.path} has not the key ${issued.body.id} that was issued for it`))
}

/** What a burst is about: things that may come and go, mostly. */
export function someSubject({ chance, scenario }: Workplace, tenant: Tenant): Subject {
  const changing = scenario.triggers.filter((plan) => plan.tenant === tenant && !plan.stable)
  const spare = scenario.destinations.filter((plan) => plan.tenant === tenant && plan.comesAndGoes)
  const troubled = scenario.destinations.filter((plan) => plan.tenant === tenant && plan.character !== "steady")
  return {
    tenant,
    topic: chance.pick([...sideTopics, ...sideTopics, ...topics]),
    trigger: chance.pick([...changing.map(({ id }) => id), "extra-0", "extra-1"]),
    destination: chance.pick(chance.happens(0.5) ? spare : troubled).id,
    schedule: chance.pick(sideSchedules),
    subscription: chance.pick(Object.keys(subscriptionTopics)),
  }
}
