import Type, { type Static } from "typebox"
import { parseTopic } from "../../core/address.ts"
import { sleep } from "../../core/clock.ts"
import type { Cursor } from "../../core/cursor.ts"
import { isEdit } from "../../core/edits.ts"
import type { EventLog } from "../../core/log.ts"
import { turnSteps } from "../../core/pace.ts"
import type { Trigger } from "../../core/resources.ts"
import {
  type Clause,
  compileExplainer,
  EventView,
  type Explanation,
  inTurns,
  type Json,
  parseFilters,
  showJson,
} from "../../filters/index.ts"
import { checkedElsewhere, choice, component, componentKeyword } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"
import type { Subject } from "./subject.ts"

/** What of a trigger decides about an event. */
export interface Judge extends Pick<Trigger, "filters"> {
  /** Undefined: whatever the event is on. */
  readonly topic?: string
  /** Undefined: from the beginning. */
  readonly from?: Cursor | { readonly time: number }
  readonly paused?: Trigger["paused"]
  /** It has not come to the event yet. */
  readonly behind?: true
}

const reasonKinds = ["topic", "key", "edit", "start", "filters", "paused", "behind"] as const

/** Something besides the filters' verdict that keeps an event from a trigger. */
export interface Reason {
  readonly kind: (typeof reasonKinds)[number]
  readonly sentence: string
}

/** What a trigger makes of an event. */
export interface Judgement {
  /** fires: a delivery; waits: one once the trigger goes on; rejects: none. */
  readonly verdict: "fires" | "waits" | "rejects"
  /** What decided it. */
  readonly sentence: string
  readonly reasons: readonly Reason[]
  /** Of the filters alone; undefined where they cannot be read. */
  readonly explanation?: Explanation
}

export const VerdictSchema = choice(["fires", "waits", "rejects"], {
  description: "fires: a delivery; waits: a delivery once the trigger goes on; rejects: none.",
})

export const ReasonSchema = component(
  "Reason",
  Type.Object(
    { kind: choice(reasonKinds), sentence: Type.String() },
    { description: "What keeps the event from the trigger, whatever its filters say." },
  ),
)

/** One clause and those within it. */
export const ClauseSchema = {
  [componentKeyword]: "Clause",
  type: "object",
  description: "One clause of the filters, and what it came to.",
  properties: {
    clause: { type: "string", description: "In words, or as SQL." },
    value: { description: "What it yields; absent where it was not evaluated." },
    actual: {
      description:
        "What the event has where the clause looks: in arrays, the value that decided. Of SQL, that is the value of a part.",
    },
    absent: { type: "boolean", description: "True where the event has nothing where the clause looks." },
    several: { type: "boolean", description: "True where `actual` holds values of which the clause holds for none." },
    empty: { type: "boolean", description: "True where `actual` holds no value such as the clause is about." },
    error: { type: "string", description: "What went wrong in it." },
    of: { type: "array", items: { [componentKeyword]: "Clause" } },
    decided: { type: "boolean", description: "True for the clause that decided the whole." },
  },
  required: ["clause"],
}

export const ExplanationFields = {
  pass: Type.Boolean({ description: "Whether the event passes the filters." }),
  clause: Type.String({ description: "The clause that decided, in words or as SQL." }),
  tree: checkedElsewhere<Clause>("Clause"),
  errors: Type.Array(
    Type.Object({
      kind: Type.String({ examples: ["missingAttribute"] }),
      clause: Type.String(),
      message: Type.String(),
    }),
    { description: "What went wrong in SQL; with an error, an event never passes." },
  ),
}

export type ShownExplanation = Pick<Static<ReturnType<typeof explanationObject>>, keyof typeof ExplanationFields>

function explanationObject() {
  return Type.Object(ExplanationFields)
}

/**
 * Judges many events by one trigger: its filters are compiled once. An event that takes long is judged in turns, with a rest
 * on the clock between them.
 */
export function createJudge(
  judge: Judge,
  { engine: { log }, clock }: Pick<ApiContext, "engine" | "clock">,
): (subject: Subject) => Promise<Judgement> {
  const explain = parseFilters(judge.filters).ok ? compileExplainer(judge.filters) : undefined
  const pause = () => sleep(clock, 0)
  return async (subject) => {
    const { event } = subject
    const view = new EventView(event)
    const explanation = explain && (await inTurns(view, turnSteps, () => explain(event, view), pause))
    const reasons = reasonsOf(judge, subject, log, explanation !== undefined)
    const against = reasons.find(({ kind }) => kind !== "paused" && kind !== "behind")
    if (against !== undefined || explanation === undefined) {
      return { verdict: "rejects", sentence: against!.sentence, reasons, ...(explanation && { explanation }) }
    }
    const answer = { reasons, explanation, sentence: explanation.sentence }
    const [rest] = reasons
    if (!explanation.pass) return { ...answer, verdict: "rejects" }
    if (rest === undefined) return { ...answer, verdict: "fires" }
    return { ...answer, verdict: "waits", sentence: `${explanation.sentence} ${rest.sentence}` }
  }
}

function reasonsOf(
  judge: Judge,
  subject: Subject,
  log: Pick<EventLog, "compare">,
  readable: boolean,
): readonly Reason[] {
  const place = placeReason(judge, subject)
  const reasons: Reason[] = place === undefined ? [] : [place]
  if (place === undefined && isEdit(subject.event)) reasons.push({ kind: "edit", sentence: editSentence })
  if (place?.kind !== "topic" && isBeforeStart(judge, subject, log)) {
    reasons.push({ kind: "start", sentence: "The event was stored before the trigger's start." })
  }
  if (!readable) reasons.push({ kind: "filters", sentence: "The trigger rests: its filters cannot be read any more." })
  if (judge.paused !== undefined) {
    const since = new Date(judge.paused.since).toISOString()
    reasons.push({
      kind: "paused",
      sentence: `The trigger is paused since ${since} (${judge.paused.reason}); it fires when it is resumed.`,
    })
  }
  if (judge.behind) reasons.push({ kind: "behind", sentence: "The trigger has not come to the event yet." })
  return reasons
}

const editSentence =
  "The event was redriven in place of another one's dead letter (redcarredrive): it goes to that letter's trigger alone."

function placeReason({ topic }: Judge, { address }: Subject): Reason | undefined {
  const on = topic === undefined ? undefined : parseTopic(topic)
  if (on === undefined || typeof on === "string") return undefined
  if (on.topic !== address.topic) {
    return { kind: "topic", sentence: `The event is on topic ${address.topic}, the trigger on topic ${on.topic}.` }
  }
  if (on.key === undefined || on.key === address.key) return undefined
  const key = address.key === undefined ? "The event has no key" : `The event's key is ${address.key}`
  return { kind: "key", sentence: `${key}, the trigger is on key ${on.key} alone.` }
}

/** The trigger's start is a place in the part of the log that its topic is in. */
function isBeforeStart({ from }: Judge, { stored }: Subject, log: Pick<EventLog, "compare">): boolean {
  if (from === undefined || stored === undefined) return false
  return typeof from === "object" ? stored.storedAt < from.time : log.compare(stored.cursor, from) <= 0
}

/** Characters of one value in an answer: data may be large, and many clauses may look at the same. */
const valueCharactersMax = 1_000

/** The filters' part of a judgement, as answers show it; long values are cut. */
export function showExplanation({ pass, clause, tree, errors }: Explanation): ShownExplanation {
  return { pass, clause, tree: showClause(tree), errors: [...errors] }
}

function showClause(clause: Clause): Clause {
  const { value, actual, of } = clause
  return {
    ...clause,
    ...(value !== undefined && { value: cut(value) }),
    ...(actual !== undefined && { actual: cut(actual) }),
    ...(of !== undefined && { of: of.map(showClause) }),
  }
}

function cut(value: Json): Json {
  if (typeof value === "string") {
    return value.length <= valueCharactersMax ? value : `${value.slice(0, valueCharactersMax)}…`
  }
  if (typeof value !== "object" || value === null) return value
  const text = showJson(value, valueCharactersMax)
  return text.length <= valueCharactersMax ? value : text
}
