import { ago } from "../output.ts"

/** As the API tells of a delivery when it is tried next. */
interface Waiting {
  readonly state: string
  readonly dueAt?: string
  readonly waitsFor?: string
  readonly nextAt?: string
}

/** When a delivery is tried next, for people; empty where it is not tried any more. `now` is in Unix milliseconds. */
export function nextAttempt({ state, dueAt, waitsFor, nextAt }: Waiting, now: number): string {
  if (state === "held") return "when its trigger is resumed"
  if (waitsFor === "trigger") return "held: trigger paused"
  if (state === "leased") return "under way"
  if (dueAt === undefined) return ""
  if (waitsFor === "destination" && nextAt !== undefined && Date.parse(nextAt) > now)
    return `${ago(nextAt, now)}, destination rests`
  const late = now - Date.parse(dueAt)
  if (late < 0) return ago(dueAt, now)
  return late < 1_000 ? "now" : `now, due for ${ago(dueAt, now)}`
}
