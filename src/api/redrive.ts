import type { DeadLetter, DeadReason } from "../core/delivery.ts"
import type { ApiContext } from "./context.ts"

/** Dead letters that one request redrives or counts at most. */
export const redriveMax = 10_000
/** It ends earlier where it takes so long; the next request goes on. */
export const redriveWithinMs = 5_000
/** Dead letters read at once, and redriven at once. */
const scanLetters = 500
const atOnce = 50

export interface RedriveRequest {
  readonly tenant: string
  readonly filter: { readonly trigger?: string; readonly destination?: string; readonly reason?: DeadReason }
  readonly dryRun: boolean
  readonly limit: number
  /** The id that it goes on after. */
  readonly after: string | undefined
  /** Whether nobody waits for the answer any more. */
  gone(): boolean
  /** Why a letter cannot be redriven. */
  refusal(letter: DeadLetter): Promise<string | undefined>
}

export interface RedrivenPart {
  readonly matched: number
  readonly redriven: number
  /** Where to go on; undefined: there are no more. */
  readonly after: string | undefined
}

/** Redrives some of the letters that match, in order of id, so that one that dies again meanwhile is not met twice. */
export async function redrivePart(context: ApiContext, asked: RedriveRequest): Promise<RedrivenPart> {
  const { engine, clock, stop } = context
  const { tenant, filter, limit } = asked
  const until = clock.steady() + redriveWithinMs
  let [matched, redriven] = [0, 0]
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
      if (i > 0 && (asked.gone() || clock.steady() >= until)) return { matched, redriven, after }
      const some = letters.slice(i, i + atOnce)
      if (!asked.dryRun) redriven += await redriveSome(context, asked, some)
      matched += some.length
      after = some.at(-1)!.id
    }
    if (letters.length < max) return { matched, redriven, after: undefined }
  }
  return { matched, redriven, after }
}

async function redriveSome(
  { engine: { queue } }: ApiContext,
  { tenant, refusal }: RedriveRequest,
  letters: readonly DeadLetter[],
): Promise<number> {
  const tried = letters.map(async (letter) => (await refusal(letter)) === undefined && queue.redrive(tenant, letter.id))
  return (await Promise.all(tried)).filter(Boolean).length
}
