import { isDeepStrictEqual } from "node:util"
import { bodies, patched, patchOf } from "./bodies.ts"
import { type Answer, type Call, call } from "./calls.ts"
import { clear, look } from "./change.ts"
import type { Fields, ResourceModel } from "./model.ts"
import type { Asked } from "./process.ts"
import { InvariantError } from "./record.ts"
import type { Workplace } from "./workplace.ts"

/** What one of the callers asks. */
interface Wish {
  readonly kind: "create" | "replace" | "update" | "delete"
  /** Of an update the members that it names. */
  readonly body: Fields
  /** Only for what both have read. */
  readonly isConditional: boolean
}

type Said = "done" | "absent" | "there" | "changed" | "used" | "unknown" | "something else"

interface Answered extends Wish {
  readonly said: Said
}

/** How a destination stands: as both have read it, or not any more. */
interface Standing {
  readonly fields: Fields | undefined
  readonly isAsRead: boolean
}

/** 7: two callers change one destination at once: what comes of it is what comes of one after the other. */
export function race(place: Workplace, model: ResourceModel): Promise<void> {
  return model.inTurn(async () => {
    await clear(place, model)
    const { world, operations } = place
    const parameters = { id: model.id }
    const read = await call(place, { operation: operations.get("getDestination")!, tenant: model.tenant, parameters })
    const [fields, ...others] = model.possible
    if (read.kind !== "answered" || read.value.status >= 500 || others.length > 0) return
    world.record.count("races")
    const wishes = [makeWish(place, model), makeWish(place, model)]
    const states = new States(fields)
    const begin = once(() => model.mayBecome(states.after(wishes), world.clock.now()))
    const answered = await Promise.all(wishes.map((wish) => askFor(place, model, { wish, read: read.value, begin })))
    if (answered.some(({ said }) => said === "unknown")) return model.unclear(() => {})
    const orders = [answered, answered.toReversed()]
    const ends = orders.flatMap((order) => endsOf(states, { fields, isAsRead: true }, order))
    const told = answered.map(
      ({ kind, isConditional, said }) => `${kind}${isConditional ? " if as read" : ""}: ${said}`,
    )
    const what = `of ${told.join(" and ")}, asked at once of ${model.path}`
    if (ends.length === 0) return world.violate(new InvariantError(7, `${what}, neither can have been the first`))
    model.becomes(ends, world.clock.now())
    await look(place, model)
  })
}

function makeWish(place: Workplace, model: ResourceModel): Wish {
  const { chance } = place
  const kind = chance.pick(["create", "replace", "replace", "update", "update", "delete"] as const)
  const body = bodies[model.name](place, model)
  return {
    kind,
    body: kind === "update" ? patchOf(place, body) : body,
    isConditional: kind !== "create" && chance.happens(0.5),
  }
}

interface Asking {
  readonly wish: Wish
  /** What both have read. */
  readonly read: Answer
  /** There is a hub that is asked. */
  begin(): void
}

async function askFor(place: Workplace, model: ResourceModel, { wish, read, begin }: Asking): Promise<Answered> {
  const { operations } = place
  const { kind, body, isConditional } = wish
  const request: Call = {
    operation: operations.get(`${kind}Destination`)!,
    tenant: model.tenant,
    ...(kind === "create" ? { body: { id: model.id, ...body } } : { parameters: { id: model.id } }),
    ...((kind === "replace" || kind === "update") && { body }),
    ...(isConditional && { headers: { "if-match": String(read.body?.etag ?? '"none"') } }),
  }
  return { ...wish, said: saidBy(await call(place, request, begin)) }
}

function once(run: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) run()
    isDone = true
  }
}

/** What a destination may become, each state once. */
class States {
  readonly #all: (Fields | undefined)[]

  constructor(first: Fields | undefined) {
    this.#all = [first]
  }

  /** What it is when a wish came true. */
  next(fields: Fields | undefined, { kind, body }: Wish): Fields | undefined {
    if (kind === "delete" || (kind === "update" && fields === undefined)) return this.#known(undefined)
    return this.#known(kind === "update" ? patched(fields!, body) : body)
  }

  /** What it may be when some of the wishes came true, in any order; without what it is. */
  after(wishes: readonly Wish[]): readonly (Fields | undefined)[] {
    const [first] = this.#all
    for (const one of wishes) {
      const fields = this.next(first, one)
      for (const other of wishes) if (other !== one) this.next(fields, other)
    }
    return this.#all.slice(1)
  }

  #known(fields: Fields | undefined): Fields | undefined {
    const index = this.#all.findIndex((known) => isDeepStrictEqual(known, fields))
    if (index < 0) this.#all.push(fields)
    return index < 0 ? fields : this.#all[index]
  }
}

function saidBy(asked: Asked<Answer>): Said {
  if (asked.kind !== "answered" || asked.value.status >= 500) return "unknown"
  const { status, body } = asked.value
  if (status < 300) return "done"
  if (status === 404) return "absent"
  if (status === 412) return "changed"
  if (status !== 409) return "something else"
  return body?.code === "already-exists" ? "there" : "used"
}

/** What may be there when these were answered in this order; nothing where they cannot have been answered so. */
function endsOf(
  states: States,
  standing: Standing,
  [first, ...rest]: readonly Answered[],
): readonly (Fields | undefined)[] {
  if (first === undefined) return [standing.fields]
  if (first.said === "done") {
    if (refusalOf(standing, first) !== undefined) return []
    return endsOf(states, { fields: states.next(standing.fields, first), isAsRead: false }, rest)
  }
  // Of what needs it, others may have made and deleted something meanwhile.
  const isUsed = first.said === "used" && first.kind === "delete" && refusalOf(standing, first) === undefined
  return isUsed || refusalOf(standing, first) === first.said ? endsOf(states, standing, rest) : []
}

function refusalOf({ fields, isAsRead }: Standing, { kind, isConditional }: Wish): Said | undefined {
  if (kind === "create") return fields === undefined ? undefined : "there"
  if (fields === undefined && kind === "replace") return isConditional ? "changed" : undefined
  if (fields === undefined) return "absent"
  return isConditional && !isAsRead ? "changed" : undefined
}
