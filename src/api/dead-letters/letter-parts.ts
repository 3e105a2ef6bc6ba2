import type { DeadLetter, DeadReason } from "../../core/delivery.ts"
import type { ApiContext } from "../context.ts"

/** Dead letters that one request goes through at most. */
export const partMax = 10_000
/** It ends earlier where it takes so long; the next request goes on. */
const partMs = 5_000
/** Dead letters read at once, and handled at once. */
const scanLetters = 500
const atOnce = 50

export interface PartRequest {
  readonly tenant: string
  readonly filter: { readonly trigger?: string; readonly destination?: string; readonly reason?: DeadReason }
  readonly limit: number
  /** The id that it goes on after. */
  readonly after: string | undefined
  /** Whether nobody waits for the answer any more. */
  gone(): boolean
  /** Answers whether it has done with this letter what is asked; undefined: they are only counted. */
  readonly act: ((letter: DeadLetter) => Promise<boolean>) | undefined
}

export interface LettersPart {
  readonly matched: number
  readonly done: number
  /** Where to go on; undefined: there are no more. */
  readonly after: string | undefined
}

/** Goes through some of the letters that match, in order of id, so that one that dies again meanwhile is not met twice. */
export async function throughLetters(context: ApiContext, asked: PartRequest): Promise<LettersPart> {
  const { engine, clock, stop } = context
  const { tenant, filter, limit, act } = asked
  const until = clock.steady() + partMs
  let [matched, done] = [0, 0]
  let after = asked.after
  while (matched < limit && clock.steady() < until && !stop.aborted && !asked.gone()) {
    const max = Math.min(scanLetters, limit - matched)
    const letters = await engine.queue.deadLetters({
      tenant,
      limit: max,
      ...filter,
      ...(after !== undefined && { after }),
    })
    for (let i = 0; i < letters.length; i += atOnce) {
      if (i > 0 && (asked.gone() || clock.steady() >= until)) return { matched, done, after }
      const some = letters.slice(i, i + atOnce)
      if (act !== undefined) done += (await Promise.all(some.map(act))).filter(Boolean).length
      matched += some.length
      after = some.at(-1)!.id
    }
    if (letters.length < max) return { matched, done, after: undefined }
  }
  return { matched, done, after }
}
