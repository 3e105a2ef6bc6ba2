import type { DeadLetterQuery } from "../../../core/dead-letters.ts"
import type { DeadLetter } from "../../../core/delivery.ts"
import type { Store, Write } from "../store.ts"
import { pastSeparator, separator } from "./row.ts"

/** A dead letter with the attempts that the queue itself counted. */
export interface Buried {
  readonly letter: DeadLetter
  readonly attempts: number
}

/** Dead letters that are looked at in one step. */
const stepRows = 500

/** Where a dead letter is: those of a tenant are next to each other, in order of id. */
export function deadKey(tenant: string, id: string): string {
  return tenant + separator + id
}

export function putDead(letter: DeadLetter, attempts: number): Write {
  const value = Buffer.from(JSON.stringify({ letter, attempts } satisfies Buried))
  return { table: "dead", key: deadKey(letter.tenant, letter.id), value }
}

export function findDead(store: Store, tenant: string, id: string): Buried | undefined {
  const value = store.get("dead", deadKey(tenant, id))
  return value && decodeBuried(value)
}

/** Looks through a tenant's dead letters in bounded steps until `limit` match or none is left. */
export async function listDead(store: Store, query: DeadLetterQuery): Promise<readonly DeadLetter[]> {
  const found: DeadLetter[] = []
  const end = query.tenant + pastSeparator
  let start = deadKey(query.tenant, query.after === undefined ? "" : `${query.after}\0`)
  while (found.length < query.limit) {
    let seen = 0
    for (const { key, value } of store.range("dead", { start, end, limit: stepRows })) {
      seen++
      start = `${key}\0`
      const { letter } = decodeBuried(value)
      if (matches(letter, query)) found.push(letter)
      if (found.length === query.limit) return found
    }
    if (seen < stepRows) return found
    await new Promise(setImmediate)
  }
  return found
}

/** All dead letters, of every tenant, in steps of at most `stepRows`. */
export function* listBuried(store: Store, stepRows: number): Iterable<readonly Buried[]> {
  // Ends: with the rows: each step begins behind the last one.
  for (let start = ""; ; ) {
    const found: Buried[] = []
    for (const { key, value } of store.range("dead", { start, limit: stepRows })) {
      start = `${key}\0`
      found.push(decodeBuried(value))
    }
    if (found.length > 0) yield found
    if (found.length < stepRows) return
  }
}

function matches(letter: DeadLetter, { trigger, destination, reason }: DeadLetterQuery): boolean {
  return (
    (trigger === undefined || letter.trigger === trigger) &&
    (destination === undefined || letter.destination === destination) &&
    (reason === undefined || letter.reason === reason)
  )
}

/** Of letters from before deliveries had these. */
const unnamed = { incarnation: "", fingerprint: 0 }

/** What {@link putDead} has written. */
export function decodeBuried(value: Uint8Array): Buried {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  const { letter, attempts } = JSON.parse(text) as Buried
  return { letter: { ...unnamed, ...letter }, attempts }
}
