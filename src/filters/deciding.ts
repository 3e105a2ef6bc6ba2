import type { Clause } from "./explain.ts"
import { showJson } from "./shown.ts"

/** A clause of an explanation that is being made, and how its parts make it what it is. */
export interface Told {
  readonly clause: Omit<Clause, "of" | "decided">
  /** Absent: it is what it is by itself, and its parts are what it reads. */
  readonly joins?: "all" | "any" | "not"
  readonly parts: readonly Told[]
}

/**
 * From the whole down to the clause that decided it: the first part that makes it what it is, where one is enough for that.
 * An error decides before any value.
 */
export function decidingPath(told: Told): readonly Told[] {
  const failed = told.parts.find(hasError)
  const decides = failed ?? (told.clause.error === undefined ? decidingPart(told) : undefined)
  return decides === undefined ? [told] : [told, ...decidingPath(decides)]
}

function decidingPart({ clause: { value }, joins, parts }: Told): Told | undefined {
  if (joins === undefined || typeof value !== "boolean") return undefined
  const wanted = joins === "not" ? !value : value
  const isEnough = joins === "not" || value === (joins === "any") || parts.length === 1
  return isEnough ? parts.find(({ clause }) => clause.value === wanted) : undefined
}

function hasError({ clause, parts }: Told): boolean {
  return clause.error !== undefined || parts.some(hasError)
}

/** The clause as it is shown; the last one of `path` is the one that decided. */
export function shownClause(told: Told, path: readonly Told[]): Clause {
  const { clause, joins, parts } = told
  return {
    ...clause,
    ...((parts.length > 0 || joins !== undefined) && { of: parts.map((part) => shownClause(part, path)) }),
    ...(told === path.at(-1) && { decided: true as const }),
  }
}

/** Characters of a value in a sentence. */
const shownMax = 80

/** What decided, in a sentence. */
export function sentenceOf(pass: boolean, { clause: told, joins, parts }: Told): string {
  const verdict = pass ? "The event passes" : "The event does not pass"
  const { clause, value, error } = told
  if (error !== undefined) return `${verdict}: in ${clause}, ${error}.`
  if (joins !== undefined && parts.length === 0) {
    return pass ? `${verdict}: every event does.` : `${verdict}: no event does.`
  }
  const because = joins === undefined ? becauseOf(told, parts) : undefined
  if (typeof value !== "boolean") return `${verdict}: ${clause} is ${showJson(value!, shownMax)}, which is not true.`
  return because === undefined
    ? `${verdict}: ${clause}: ${value}.`
    : `${verdict}: ${clause} is ${value}, for ${because}.`
}

function becauseOf({ actual, absent, several, empty }: Told["clause"], parts: readonly Told[]): string | undefined {
  if (absent) return "it is not there"
  if (actual !== undefined) {
    const shown = showJson(actual, shownMax)
    if (several) return `its values are ${shown}`
    return empty ? `there is no such value in ${shown}` : `it is ${shown}`
  }
  const reads = parts.filter((part) => part.parts.length === 0 && part.clause.value !== undefined)
  if (reads.length === 0) return undefined
  return reads.map(({ clause }) => `${clause.clause} is ${showJson(clause.value!, shownMax)}`).join(" and ")
}
