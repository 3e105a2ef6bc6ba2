import { ago } from "./output.ts"

/** When a delivery is tried next, for people; empty where it is not tried any more. `now` is in Unix milliseconds. */
export function nextAttempt(delivery: { readonly state: string; readonly dueAt?: string }, now: number): string {
  const { state, dueAt } = delivery
  if (state === "held") return "when its trigger is resumed"
  if (state === "leased") return "being sent"
  if (dueAt === undefined) return ""
  const late = now - Date.parse(dueAt)
  if (late < 0) return ago(dueAt, now)
  return late < 1_000 ? "now" : `now, due for ${ago(dueAt, now)}`
}
