import type { Trigger } from "../src/core/resources.ts"
import { type Answer, type Call, call } from "./calls.ts"
import type { Hub } from "./hub.ts"
import { type Fields, type ResourceModel, shows } from "./model.ts"
import type { Asked } from "./process.ts"
import { InvariantError } from "./record.ts"
import { changeTriggerRecord } from "./trigger-record.ts"
import type { Workplace } from "./workplace.ts"
import type { World } from "./world.ts"

/** What a request asks of one resource. */
export interface Change extends Omit<Call, "tenant"> {
  readonly model: ResourceModel
  /** put: made where it is not there, else changed. */
  readonly kind: "create" | "change" | "put" | "delete"
  /** It has to be refused. */
  readonly isWrong?: boolean
  /** What becomes of the resource, as it is now. */
  next(fields: Fields): Fields
}

/** Asks for a change; the model learns what is to be known of it. Undefined: the answer was lost. */
export function change(place: Workplace, asked: Change): Promise<Answer | undefined> {
  return asked.model.inTurn(async () => {
    await clear(place, asked.model)
    return ask(place, asked)
  })
}

/** Looks at a resource until it is known what became of its last change. To be called in its turn. */
export async function clear(place: Workplace, model: ResourceModel): Promise<void> {
  // Ends: a hub comes up that answers, or the run ends by its limit.
  while (model.isUnclear) await look(place, model)
}

/** Reads a resource, and holds it against its model. To be called in its turn. */
export async function look(place: Workplace, model: ResourceModel): Promise<void> {
  const { world, operations } = place
  const { tenant, id, name } = model
  const operation = operations.get(`get${name.charAt(0).toUpperCase()}${name.slice(1)}`)!
  const read = await call(place, { operation, tenant, parameters: { id } })
  if (read.kind !== "answered" || read.value.status >= 500) return
  const shown = read.value.status === 404 ? undefined : (read.value.body as Fields)
  const stored = await place.processes.ask(`stored ${model.path}`, (hub) => storedTrigger(hub, model))
  if (stored.kind !== "answered") return
  see(world, model, shown, stored.value)
}

/** A resource was seen, or that it is not there. */
export function see(world: World, model: ResourceModel, shown: Fields | undefined, stored?: Trigger): void {
  const fields = shown && { ...shown, stored }
  if (model.seen(fields, world.clock.now())) return
  const may = JSON.stringify(model.possible)
  // Where that is no broken promise, it is so from now on.
  model.mayBecome([fields], world.clock.now())
  model.becomes([fields], world.clock.now())
  world.violate(new InvariantError(7, `${model.path} is ${JSON.stringify(shown)}, and can only be one of ${may}`))
}

/** What of a trigger the API does not show. */
export async function storedTrigger({ engine }: Hub, { name, path }: ResourceModel): Promise<Trigger | undefined> {
  return name === "trigger" ? (await engine.catalog.get<Trigger>(path))?.value : undefined
}

/** What a change may come to. */
interface Prospect {
  /** What the resource was, for all that is known, and which of that the change can be made to. */
  readonly before: readonly (Fields | undefined)[]
  readonly unfitting: readonly (Fields | undefined)[]
  /** What it is then. */
  readonly after: readonly (Fields | undefined)[]
  readonly settle: Settle
  /** What surely needs what is to be deleted. */
  readonly users: readonly ResourceModel[]
}

async function ask(place: Workplace, asked: Change): Promise<Answer | undefined> {
  const { model } = asked
  const isTrial = asked.query?.validate_only === "true"
  const begun: { prospect?: Prospect } = {}
  const answered = await call(place, { ...asked, tenant: model.tenant }, () => {
    begun.prospect = begin(place, asked, isTrial)
  })
  const { before, unfitting, after, settle, users } = begun.prospect!
  const { status, body } = statusOf(answered)
  if (status < 300) {
    place.world.record.count(asked.operation.id)
    conclude(place, asked, after, status)
    if (asked.query?.force !== "true") checkUnused(place, asked, users)
    if (asked.isWrong) {
      place.world.violate(new InvariantError(7, `${asked.operation.id} of ${model.path} was taken, and is wrong`))
    }
    if (!isTrial && model.name === "trigger") await learn(place, model, (shown) => settle(true, shown))
    else settle(true)
  } else if (status < 500) {
    conclude(place, asked, isUnfitting(status, body) ? unfitting : before, status)
    settle(false)
  } else if (!isTrial) {
    const isMade = (shown: Fields | undefined) => after.some((fields) => shows(fields, shown))
    model.unclear((shown) => settle(isMade(shown), shown))
  }
  return answered.kind === "answered" ? answered.value : undefined
}

function begin({ world }: Workplace, { model, kind, next }: Change, isTrial: boolean): Prospect {
  const before = model.possible
  const fits = (fields: Fields | undefined) => kind === "put" || (fields === undefined) === (kind === "create")
  const unfitting = before.filter((fields) => !fits(fields))
  const fitting = before.filter((fields) => !unfitting.includes(fields))
  if (isTrial || fitting.length === 0) return { before, unfitting, after: fitting, settle: () => {}, users: [] }
  const after = fitting.map((fields) => (kind === "delete" ? undefined : next(fields ?? {})))
  model.mayBecome(after, world.clock.now())
  const users = kind === "delete" ? usersOf(world, model) : []
  const isMade = kind === "put" && before[0] === undefined
  return { before, unfitting, after, settle: settler(world, model, isMade ? "create" : kind, after[0]), users }
}

/** Triggers and subscriptions that surely are there and on this topic, or to this destination. */
function usersOf({ record }: World, { name, tenant, id }: ResourceModel): readonly ResourceModel[] {
  const uses = (fields: Fields | undefined) =>
    name === "topic" ? String(fields?.topic).split(":")[0] === id : name === "destination" && fields?.destination === id
  const users = [...record.models.values()].filter(
    (model) => (model.name === "trigger" || model.name === "subscription") && model.tenant === tenant,
  )
  return users.filter(({ possible }) => possible.every(uses))
}

/** 7: what is in use is not deleted. */
function checkUnused({ world }: Workplace, { model }: Change, users: readonly ResourceModel[]): void {
  const still = usersOf(world, model).find((user) => users.includes(user))
  if (still) world.violate(new InvariantError(7, `${model.path} was deleted, and ${still.path} needs it`))
}

function settler(world: World, model: ResourceModel, kind: Change["kind"], after: Fields | undefined): Settle {
  if (model.name === "trigger") return changeTriggerRecord(world, model, kind, after)
  return model.name === "topic" && kind === "delete" ? world.record.deleteTopic(model, world.clock) : () => {}
}

/** The answer says that it is one of these now; where there is none, it cannot have been answered so. */
function conclude(
  { world }: Workplace,
  { model, operation }: Change,
  states: readonly (Fields | undefined)[],
  status: number,
): void {
  if (states.length > 0) {
    model.becomes(states, world.clock.now())
    return
  }
  const may = JSON.stringify(model.possible)
  world.violate(
    new InvariantError(7, `${operation.id} of ${model.path} was answered ${status}, and it could be ${may}`),
  )
}

/** A trigger was changed: what it is now is read, for some of it the hub decides. */
async function learn(place: Workplace, model: ResourceModel, settle: (shown: Fields | undefined) => void) {
  model.unclear(settle)
  await clear(place, model)
}

/** Is told whether a change was made, and how the resource is shown now. */
export type Settle = (made: boolean, shown?: Fields) => void

/** A lost answer is like one that says that the hub cannot: done or not. */
function statusOf(asked: Asked<Answer>): Answer {
  return asked.kind === "answered" ? asked.value : { status: 503, text: "", body: undefined }
}

/** Whether the answer says that the resource is not there, or of a creation: that it is. */
function isUnfitting(status: number, body: { readonly code?: string } | undefined): boolean {
  return status === 404 || body?.code === "already-exists"
}
