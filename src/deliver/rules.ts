import { type Failed, type FailureCause, failureCauses, type RetryRule, ruleActions } from "../core/delivery.ts"
import type { Fault } from "./policies.ts"

const rulesMax = 20
const status = /^[1-9]\d\d$/
const statusClass = /^[1-9]xx$/

/** The first rule that a failure falls under; undefined: what the hub does by itself holds. */
export function ruleFor(outcome: Failed, rules: readonly RetryRule[] = []): RetryRule | undefined {
  const names = namesOf(outcome)
  return rules.find(({ on }) => on.some((name) => names.includes(name)))
}

/** What a failure is called in rules. */
function namesOf({ cause, response }: Failed): readonly string[] {
  if (response !== undefined) return [String(response.status), `${Math.floor(response.status / 100)}xx`, "any"]
  return cause === undefined ? ["any"] : [cause, "any"]
}

/** Rules as a person wrote them: `[{ "on": ["4xx", "connect"], "do": "dead" }]`. Faults name their fields: `rules[0].on[1]`. */
export function parseRules(input: unknown, faults: Fault[]): readonly RetryRule[] {
  if (!Array.isArray(input) || input.length > rulesMax) {
    faults.push({ field: "rules", message: `must be an array of at most ${rulesMax} rules` })
    return []
  }
  return input.flatMap((rule, i) => parseRule(rule, `rules[${i}]`, faults) ?? [])
}

function parseRule(input: unknown, field: string, faults: Fault[]): RetryRule | undefined {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    faults.push({ field, message: 'must be an object such as {"on": ["4xx"], "do": "dead"}' })
    return undefined
  }
  const { on, do: action, ...others } = input as Readonly<Record<string, unknown>>
  const before = faults.length
  for (const name of Object.keys(others))
    faults.push({ field: `${field}.${name}`, message: "is unknown; known are on, do" })
  if (!isAction(action)) faults.push({ field: `${field}.do`, message: `must be one of ${ruleActions.join(", ")}` })
  if (!Array.isArray(on) || on.length === 0 || on.length > rulesMax) {
    faults.push({
      field: `${field}.on`,
      message: `must be an array of 1 to ${rulesMax} causes, such as ["408", "4xx", "timeout"]`,
    })
  } else {
    for (const [i, name] of on.entries()) {
      if (!isCause(name)) faults.push({ field: `${field}.on[${i}]`, message: `must be ${causesText}` })
    }
  }
  return faults.length > before ? undefined : { on: on as readonly string[], do: action as RetryRule["do"] }
}

const causesText = `a status ("408"), a class of them ("4xx"), ${failureCauses.join(", ")} or any`

function isAction(input: unknown): input is RetryRule["do"] {
  return (ruleActions as readonly unknown[]).includes(input)
}

function isCause(input: unknown): boolean {
  if (typeof input !== "string") return false
  return (
    input === "any" || failureCauses.includes(input as FailureCause) || status.test(input) || statusClass.test(input)
  )
}
