import type { Trigger } from "../src/core/resources.ts"
import { createNaiveMatcher } from "../src/match/naive.ts"
import { type Call, call, type Json } from "./calls.ts"
import { clear } from "./change.ts"
import type { Doing, Exemption, Subject } from "./doings.ts"
import { Keeping } from "./keeping.ts"
import type { Fields, ResourceModel } from "./model.ts"
import { modelOf } from "./models.ts"
import type { Operation } from "./operations.ts"
import { type Answered, type Move, PositionModel } from "./positions.ts"
import { type Acknowledged, InvariantError } from "./record.ts"
import { subscriptionTopics } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"
import type { World } from "./world.ts"

/** Subscriptions that are read, and moved by one or by two at once. */
export const subscriptionDoings: Readonly<Record<string, Doing | Exemption>> = {
  readSubscription: doing(6, read),
  commitSubscription: doing(6, (turn) => move(turn, commitsOf(turn))),
  resetSubscription: doing(2, reset),
  streamSubscription: { exempt: "it ends with its client alone; it reads the log as readSubscription does" },
}

/** What is done with one subscription at a time, which is as it is known to be. */
interface Turn {
  readonly place: Workplace
  readonly model: ResourceModel
  readonly position: PositionModel
  readonly operation: Operation
  /** Events of its topic that are there for all that is known. */
  readonly its: readonly Acknowledged[]
}

function doing(weight: number, run: (turn: Turn) => Promise<void>): Doing {
  return {
    weight,
    async run(place, { tenant, subscription }: Subject, operation) {
      const { world } = place
      const model = modelOf(world, "subscription", tenant, subscription)
      await model.inTurn(async () => {
        await clear(place, model)
        const its = eventsOf(world, model)
        if (its.length > 0) await run({ place, model, position: positionOf(world, model), operation, its })
      })
    },
  }
}

/** Nothing is known of one that may have been made anew, or whose hub lost some of what it had stored. */
function positionOf({ record, clock }: World, { path, spans }: ResourceModel): PositionModel {
  const position = record.positions.get(path) ?? new PositionModel()
  record.positions.set(path, position)
  const mayBeOther = spans.some(({ fields, until }) => fields === undefined && until >= position.knownAt)
  if (mayBeOther || record.damage.count > 0) position.forget()
  position.knownAt = clock.now()
  return position
}

function eventsOf({ record }: World, { tenant, id }: ResourceModel): readonly Acknowledged[] {
  const [topic, key] = subscriptionTopics[id]!.split(":")
  return record.acknowledged.filter(
    ({ address, duplicate }) =>
      !duplicate && address.tenant === tenant && address.topic === topic && (key === undefined || address.key === key),
  )
}

/** What is answered to a request of this subscription; undefined where that is no answer, or it is not there. */
async function ask(
  { place, model }: Turn,
  operation: Operation,
  what: Pick<Call, "query" | "body"> = {},
): Promise<{ readonly status: number; readonly body: Json } | undefined> {
  const asked = await call(place, { operation, tenant: model.tenant, parameters: { id: model.id }, ...what })
  if (asked.kind !== "answered" || asked.value.status >= 500) return undefined
  if (asked.value.status === 404 && model.isSurelyThere) violate(place, model, "it is there, and was answered 404")
  return asked.value.status === 404 ? undefined : asked.value
}

/** 10: what is read follows the position, or the place that was asked for, without a gap. */
async function read(turn: Turn): Promise<void> {
  const { place, model, position, operation } = turn
  const { chance, world } = place
  const from = chance.happens(0.3) ? position.next : undefined
  const answer = await ask(turn, operation, {
    query: { limit: chance.pick(["1", "5", "20", "1000"]), ...(from !== undefined && { from }) },
  })
  if (answer === undefined) return
  const { body } = answer
  world.record.count("read of subscriptions", body.items.length)
  tell(turn, position.see(body.position))
  if (world.record.damage.count > 0) return
  position.next = body.next
  const [fields, ...others] = model.possible
  if (fields === undefined || others.length > 0) return
  tell(turn, readingFault(turn, fields, { after: from ?? body.position.cursor, body }))
}

/** Why this cannot have been read; undefined where it can. */
function readingFault(
  { place: { world }, model, its }: Turn,
  fields: Fields,
  { after, body }: { readonly after: string; readonly body: Json },
): string | undefined {
  const { id, tenant } = model
  const matcher = createNaiveMatcher()
  matcher.set({ id, tenant, topic: subscriptionTopics[id], filters: fields.filters } as unknown as Trigger)
  const passes = ({ address, event, cursor, at: storedAt }: Acknowledged) =>
    matcher.match({ address, event, cursor, storedAt }).length > 0
  const keeping = new Keeping(world)
  const shown = new Set<string>(body.items.map(({ redcarcursor }: Json) => redcarcursor))
  const known = new Map<string, Acknowledged>(its.map((each) => [each.cursor, each]))
  let before = after
  for (const cursor of shown) {
    const acknowledged = known.get(cursor)
    if (cursor <= before || cursor > body.next) return `${cursor} was read after ${before}, up to ${body.next}`
    if (acknowledged !== undefined && !passes(acknowledged)) return `${cursor} was read, and its filters do not hold`
    before = cursor
  }
  const isDue = ({ cursor }: Acknowledged) => cursor > after && (cursor <= body.next || !body.more)
  const left = its.find((each) => isDue(each) && !shown.has(each.cursor) && passes(each) && !keeping.mayBeGone(each))
  return left && `${left.cursor} was not read after ${after}, up to ${body.next}`
}

/** One commit, or two at once of those who have read the same. */
function commitsOf({ place: { chance }, position, its }: Turn): readonly Move[] {
  const { place: now, earlier, next } = position
  const expected = chance.pick([now, now, earlier, undefined])
  const cursor = () => chance.pick([next, now?.cursor, chance.pick(its.slice(-20)).cursor]) ?? its.at(-1)!.cursor
  const commit = (): Move => ({ kind: "commit", cursor: cursor(), ...(expected && { expected }) })
  return chance.happens(0.4) ? [commit(), commit()] : [commit()]
}

/** 10: of moves that are asked at once comes what comes of one after the other, and it stays so. */
async function move(turn: Turn, moves: readonly Move[]): Promise<void> {
  const { place, position, operation } = turn
  const answers = await Promise.all(moves.map(({ kind: _, ...body }) => ask(turn, operation, { body })))
  const answered = moves.map((move, i): Answered => ({ move, status: answers[i]?.status }))
  if (!turn.model.isSurelyThere) return position.forget()
  for (const { status } of answered) place.world.record.count(`commit ${status ?? "lost"}`)
  tell(turn, position.moved(answered))
  if (answered.length > 1 || answers[0]?.status !== 200) return
  tell(turn, position.see(answers[0].body))
}

async function reset(turn: Turn): Promise<void> {
  const { place, model, position, operation, its } = turn
  const { chance, world } = place
  const to = chance.pick(["oldest", "newest", { cursor: chance.pick(its).cursor }] as const)
  const before = position.place
  const answer = await ask(turn, operation, { body: { to } })
  if (answer === undefined) return position.forget()
  world.record.count("resets")
  const { cursor, epoch } = answer.body
  position.forget()
  tell(turn, position.see(answer.body))
  if (world.record.damage.count > 0) return
  if (before !== undefined && model.isSurelyThere && epoch !== before.epoch + 1)
    tell(turn, `its epoch was ${before.epoch}, and is ${epoch} after a reset`)
  if (typeof to === "object" && cursor !== to.cursor) tell(turn, `it was reset to ${to.cursor}, and is at ${cursor}`)
  const keeping = new Keeping(world)
  const isWrong = (each: Acknowledged) =>
    to === "newest" ? each.cursor > cursor : to === "oldest" && each.cursor <= cursor && !keeping.mayBeGone(each)
  const wrong = its.find(isWrong)
  if (wrong) tell(turn, `it was reset to ${to}, and is at ${cursor}, with an event at ${wrong.cursor}`)
}

function tell({ place, model }: Turn, fault: string | undefined): void {
  if (fault !== undefined && place.world.record.damage.count === 0) violate(place, model, fault)
}

function violate({ world }: Workplace, { path }: ResourceModel, fault: string): void {
  world.violate(new InvariantError(10, `${path}: ${fault}`))
}
