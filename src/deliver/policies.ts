import { formatDuration, parseDuration } from "../config/quantities.ts"
import type { RetryPolicy } from "../core/delivery.ts"
import type { Retention } from "../core/resources.ts"
import { parseRules } from "./rules.ts"

/** What is wrong with one field of an input: `delays[2]`, or the empty name for all of it. */
export interface Fault {
  readonly field: string
  readonly message: string
}

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** The policies that have a name. */
export const retryPresets = {
  /** 1, 2, 4 … 256 minutes, then every 256; some 51 hours in all. */
  relay: {
    delaysMs: [1, 2, 4, 8, 16, 32, 64, 128, 256].map((minutes) => minutes * minute),
    jitter: 0.1,
    attemptsMax: 20,
    ageMaxMs: 3 * day,
  },
  /** 10 s doubling to 600 s, for 24 hours. */
  eventarc: {
    delaysMs: [10, 20, 40, 80, 160, 320, 600].map((seconds) => seconds * second),
    jitter: 0.1,
    attemptsMax: 1_000,
    ageMaxMs: day,
  },
  /**
   * At once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h after the first attempt. The age leaves the
   * last attempt four hours of room for slow answers and for destinations that ask for rest.
   */
  "standard-webhooks": {
    delaysMs: [5 * second, 295 * second, 25 * minute, 90 * minute, 3 * hour, 5 * hour, 4 * hour, 6 * hour, 4 * hour],
    jitter: 0.1,
    attemptsMax: 10,
    ageMaxMs: 28 * hour,
  },
  /** One attempt. */
  none: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 28 * hour },
} as const satisfies Record<string, RetryPolicy>

export type RetryPreset = keyof typeof retryPresets

/** What a trigger has whose creator says nothing. */
export const defaultRetry: RetryPreset = "standard-webhooks"

/** No policy asks for more than these. */
const retryLimits = { delays: 50, delayMs: 7 * day, attempts: 1_000, ageMs: 30 * day } as const

/**
 * A policy from what a person wrote: a preset's name, `{ preset }`, or `{ delays, jitter?, attemptsMax?, ageMax?, rules? }`, where
 * members beside `preset` replace the preset's. Durations are texts (`10s`) or whole milliseconds. Without `attemptsMax`
 * each delay is used once; without `ageMax` there is room for twice the delays and an hour. Answers every fault at once,
 * with fields relative to the policy.
 */
export function parseRetry(input: unknown): RetryPolicy | readonly Fault[] {
  if (input === undefined) return retryPresets[defaultRetry]
  if (typeof input === "string") return presetOf(input, "")
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return [{ field: "", message: `must be a preset's name (${presetNames}) or an object` }]
  }
  return parseObject(input as Readonly<Record<string, unknown>>)
}

/** Whether parsing found faults instead of a policy. */
export function isFaulty(parsed: RetryPolicy | readonly Fault[]): parsed is readonly Fault[] {
  return Array.isArray(parsed)
}

/** A delivery needs its event: the topic must keep events for as long as the policy tries. */
export function checkAgainstRetention(policy: RetryPolicy, retention: Retention): readonly Fault[] {
  const keptMs = retention.ageMaxMs
  if (keptMs === undefined || policy.ageMaxMs <= keptMs) return []
  const [wanted, kept] = [formatDuration(policy.ageMaxMs), formatDuration(keptMs)]
  return [
    { field: "ageMax", message: `deliveries are tried for ${wanted}, but the topic keeps events for ${kept} only` },
  ]
}

const presetNames = Object.keys(retryPresets).join(", ")
const members: readonly string[] = ["preset", "delays", "jitter", "attemptsMax", "ageMax", "rules"]

function presetOf(name: unknown, field: string): RetryPolicy | readonly Fault[] {
  if (typeof name === "string" && Object.hasOwn(retryPresets, name)) return retryPresets[name as RetryPreset]
  return [{ field, message: `must be one of ${presetNames}, not ${JSON.stringify(name)}` }]
}

function parseObject(input: Readonly<Record<string, unknown>>): RetryPolicy | readonly Fault[] {
  const faults: Fault[] = []
  for (const name of Object.keys(input)) {
    if (!members.includes(name)) faults.push({ field: name, message: `is unknown; known are ${members.join(", ")}` })
  }
  // Who says nothing but rules has all else as who says nothing.
  const isRulesOnly = Object.keys(input).join() === "rules"
  const named = isRulesOnly ? defaultRetry : input.preset
  const preset = named === undefined ? undefined : presetOf(named, "preset")
  if (preset !== undefined && isFaulty(preset)) faults.push(...preset)
  const base = preset === undefined || isFaulty(preset) ? undefined : preset
  const delaysMs = input.delays === undefined ? base?.delaysMs : parseDelays(input.delays, faults)
  const jitter = input.jitter === undefined ? (base?.jitter ?? 0) : parseJitter(input.jitter, faults)
  const attemptsMax =
    input.attemptsMax === undefined
      ? (base?.attemptsMax ?? (delaysMs ?? []).length + 1)
      : parseAttempts(input.attemptsMax, faults)
  const ageMaxMs =
    input.ageMax === undefined
      ? (base?.ageMaxMs ?? ageFor(delaysMs ?? [], attemptsMax))
      : parseSpan(input.ageMax, "ageMax", retryLimits.ageMs, faults)
  if (delaysMs === undefined && preset === undefined) {
    faults.push({ field: "delays", message: "is missing: give the delays, or a preset" })
  }
  if (delaysMs?.length === 0 && attemptsMax > 1 && faults.length === 0) {
    faults.push({ field: "delays", message: "must name at least one delay where there is more than one attempt" })
  }
  const rules = input.rules === undefined ? [] : parseRules(input.rules, faults)
  if (faults.length > 0 || delaysMs === undefined) return faults
  return { delaysMs, jitter, attemptsMax, ageMaxMs, ...(rules.length > 0 && { rules }) }
}

function ageFor(delaysMs: readonly number[], attemptsMax: number): number {
  let total = 0
  for (let n = 0; n < attemptsMax - 1; n++) total += delaysMs[Math.min(n, delaysMs.length - 1)] ?? 0
  return Math.min(2 * total + hour, retryLimits.ageMs)
}

function parseDelays(input: unknown, faults: Fault[]): readonly number[] {
  if (!Array.isArray(input) || input.length > retryLimits.delays) {
    faults.push({ field: "delays", message: `must be a list of at most ${retryLimits.delays} durations` })
    return []
  }
  return input.map((delay, index) => parseSpan(delay, `delays[${index}]`, retryLimits.delayMs, faults))
}

function parseSpan(input: unknown, field: string, maxMs: number, faults: Fault[]): number {
  const ms = typeof input === "string" || typeof input === "number" ? parseDuration(String(input)) : undefined
  if (ms === undefined || typeof ms === "object") {
    faults.push({ field, message: ms?.message ?? `must be a duration such as "10s", not ${JSON.stringify(input)}` })
    return 0
  }
  if (ms > maxMs) faults.push({ field, message: `must be at most ${formatDuration(maxMs)}` })
  return ms
}

function parseJitter(input: unknown, faults: Fault[]): number {
  if (typeof input === "number" && input >= 0 && input <= 1) return input
  faults.push({ field: "jitter", message: "must be a number from 0 to 1" })
  return 0
}

function parseAttempts(input: unknown, faults: Fault[]): number {
  if (Number.isInteger(input) && (input as number) >= 1 && (input as number) <= retryLimits.attempts) {
    return input as number
  }
  faults.push({ field: "attemptsMax", message: `must be a whole number from 1 to ${retryLimits.attempts}` })
  return 1
}
