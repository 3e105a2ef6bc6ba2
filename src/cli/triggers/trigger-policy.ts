import { type Command, Option } from "commander"
import { durationText, wholeNumber } from "../command.ts"
import { UsageError } from "../failures.ts"

/** Flags of how a trigger's deliveries are made. */
export interface PolicyOptions {
  readonly retry?: string
  readonly retryDelays?: string
  readonly retryJitter?: number
  readonly retryAttemptsMax?: number
  readonly retryAgeMax?: string
  readonly retryRule?: readonly RetryRule[]
  readonly orderBy?: string
  readonly deadLetter?: "continue" | "hold"
  readonly replyTopic?: string
}

interface RetryRule {
  readonly on: readonly string[]
  readonly do: string
}

export function withPolicy(command: Command): Command {
  return command
    .addOption(
      new Option("--retry <preset>", "the retry policy").choices(["standard-webhooks", "relay", "eventarc", "none"]),
    )
    .option("--retry-delays <durations>", "own delays, with commas: 1s,10s,5m (the last one repeats)")
    .option("--retry-jitter <share>", "shorten each delay by up to this share (0 to 1)", Number)
    .option("--retry-attempts-max <count>", "attempts at most", wholeNumber(1))
    .option("--retry-age-max <duration>", "no attempt after this long", durationText)
    .option(
      "--retry-rule <rule>",
      "what follows from some failures: 4xx,connect=dead, 410=retry, timeout=rest, 401=pause (repeatable)",
      (text: string, rules: readonly RetryRule[] = []) => [...rules, readRule(text)],
    )
    .option(
      "--order-by <key>",
      "one at a time of each key: partitionkey, subject, data.customer.id, …; none: in no order",
    )
    .addOption(
      new Option(
        "--dead-letter <what>",
        "with --order-by: whether those behind a dead letter go on (continue), or wait until it is redriven or discarded (hold)",
      ).choices(["continue", "hold"]),
    )
    .option("--reply-topic <topic>", "where the events go that the destination answers with; none: nowhere")
}

function readRule(text: string): RetryRule {
  const [on, action, more] = text.split("=")
  if (on && action && more === undefined) return { on: on.split(",").map((each) => each.trim()), do: action.trim() }
  throw new UsageError(`--retry-rule ${text} is no rule`, [
    "Say causes, and what follows: --retry-rule 4xx,connect=dead",
  ])
}

/** Undefined where nothing is said of order; null: there is to be none. */
export function orderingOf({ orderBy, deadLetter }: PolicyOptions): unknown {
  if (orderBy === "none") {
    if (deadLetter === undefined) return null
    throw new UsageError("--dead-letter is for triggers that are ordered", ["Leave it out with --order-by none."])
  }
  return orderBy === undefined && deadLetter === undefined ? undefined : { by: orderBy, deadLetter }
}

/** Undefined where nothing is said of replies; null: there are to be none. */
export function replyOf({ replyTopic }: PolicyOptions): unknown {
  if (replyTopic === "none") return null
  return replyTopic === undefined ? undefined : { topic: replyTopic }
}

/** The body's `retry`; undefined where nothing is said of it. */
export function retryOf(options: PolicyOptions): unknown {
  const { retry, retryDelays, retryJitter, retryAttemptsMax, retryAgeMax, retryRule } = options
  const own = {
    delays: retryDelays?.split(",").map((each) => each.trim()),
    jitter: retryJitter,
    attemptsMax: retryAttemptsMax,
    ageMax: retryAgeMax,
    rules: retryRule,
  }
  const said = Object.entries(own).filter(([, value]) => value !== undefined)
  if (said.length === 0) return retry
  if (retry !== undefined) return { preset: retry, ...Object.fromEntries(said) }
  if (retryDelays === undefined && said.some(([name]) => name !== "rules"))
    throw new UsageError("a retry policy needs delays, or a preset", ["Add --retry-delays 1s,10s,5m or --retry relay."])
  return Object.fromEntries(said)
}
