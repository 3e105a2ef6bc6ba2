import type { Event } from "../src/core/event.ts"
import type { StoredEvent } from "../src/core/log.ts"
import { partAttribute, replyKey } from "../src/deliver/replies.ts"
import type { Answering } from "../src/testing/destinations.ts"
import { InvariantError } from "./record.ts"
import { answersTopic } from "./scenario.ts"
import type { World } from "./world.ts"

/** What a delivery was answered with, answer by answer, also where an answer is lost on the way. */
export interface AnswerRecord {
  readonly tenant: string
  readonly cause: string
  readonly answers: (readonly Event[])[]
}

/** Whether the trigger of this id wants replies: as it is made, and whatever it is changed to. */
export function replyOf(id: string): { readonly reply?: { readonly topic: string } } {
  return /-[02]-0$/.test(id) ? { reply: { topic: answersTopic } } : {}
}

/** Notes what an endpoint answers with. */
export function noteAnswer({ record }: World, { dispatch, events }: Answering): void {
  const { id, tenant } = dispatch.delivery
  const known = record.answers.get(id) ?? { tenant, cause: dispatch.stored.event.id, answers: [] }
  known.answers.push(events)
  record.answers.set(id, known)
  record.count("answers")
}

/**
 * 3: what is on the reply topic are answers, of each delivery one, all of it; and each that is done, and was answered with events
 * whenever it was taken, has one.
 */
export function checkReplies({ record }: World, events: readonly StoredEvent[]): void {
  const there = new Map<string, StoredEvent[]>()
  for (const stored of events) {
    if (stored.address.topic !== answersTopic) continue
    const name = `${stored.address.tenant} ${stored.address.key}`
    const others = there.get(name)
    if (others) others.push(stored)
    else there.set(name, [stored])
  }
  // Some of what was there may be missing.
  const isWhole = record.damage.count === 0
  let known = 0
  for (const [id, { tenant, cause, answers }] of record.answers) {
    const stored = there.get(`${tenant} ${replyKey(id)}`) ?? []
    if (stored.length > 0) known++
    const delivery = record.delivery(id)
    const fault = stored.length > 0 ? faultOf(stored, cause, answers, isWhole) : undefined
    if (fault !== undefined) throw new InvariantError(3, `${id} ${fault}`)
    const isOwed = delivery.ended?.kind === "done" && !delivery.deleted && delivery.taken === answers.length
    if (isOwed && isWhole && stored.length === 0)
      throw new InvariantError(3, `${id} is done, and what it was answered with is not published`)
  }
  record.count("replies", known)
  if (known < there.size) throw new InvariantError(3, "there is a reply that nobody answered with")
}

function faultOf(
  stored: readonly StoredEvent[],
  cause: string,
  answers: readonly (readonly Event[])[],
  isWhole: boolean,
): string | undefined {
  const [first] = stored
  const answer = answers.find((events) => events.some(({ id }) => id === first!.event.id))
  if (answer === undefined) return `has a reply that it was not answered with: ${first!.event.id}`
  if (stored.some(({ event }) => event.attribute("causationid") !== cause)) return "has a reply with another cause"
  if (answers.length > 1 && new Set(stored.map(({ event }) => event.attribute(partAttribute))).size < stored.length)
    return `has several replies: ${stored.map(({ event }) => event.id)}`
  return isWhole && stored.length !== answer.length ? `has ${stored.length} of ${answer.length} replies` : undefined
}
