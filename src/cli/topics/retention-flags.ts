import { type Command, Option } from "commander"
import { durationText, jsonValue, size, wholeNumber } from "../command.ts"

/** What flags say of a topic's retention. */
export interface RetentionOptions {
  readonly retentionAge?: string
  readonly retentionEvents?: number
  readonly retentionBytes?: number
  readonly retentionRules?: unknown
  readonly retentionUndelivered?: string
  readonly retentionDeadLetters?: string
}

const keepOrDrop = ["keep", "drop"]

/** Adds the flags of {@link RetentionOptions}. */
export function withRetention(command: Command): Command {
  return command
    .option("--retention-age <duration>", "drop events that are older", durationText)
    .option("--retention-events <count>", "keep at most so many", wholeNumber(1))
    .option("--retention-bytes <size>", "keep at most so much", size)
    .option(
      "--retention-rules <json>",
      'limits of events that match filters: \'[{"filters": [{"exact": {"type": "debug"}}], "ageMax": "1d"}]\'',
      jsonValue,
    )
    .addOption(
      new Option(
        "--retention-undelivered <what>",
        "what becomes of events that are over and still owed to somebody",
      ).choices(keepOrDrop),
    )
    .addOption(
      new Option(
        "--retention-dead-letters <what>",
        "what becomes of events that are over and that dead letters are of",
      ).choices(keepOrDrop),
    )
}

/** What the flags of retention say; undefined: nothing. */
export function retentionOf(options: RetentionOptions): Readonly<Record<string, unknown>> | undefined {
  const { retentionUndelivered: undelivered, retentionDeadLetters: deadLetters } = options
  return present({
    ageMax: options.retentionAge,
    eventsMax: options.retentionEvents,
    bytesMax: options.retentionBytes,
    rules: options.retentionRules,
    dropUndelivered: undelivered && undelivered === "drop",
    keepDeadLetters: deadLetters && deadLetters === "keep",
  })
}

/** The fields that are there; undefined where none is. */
export function present(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> | undefined {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined)
  return said.length === 0 ? undefined : Object.fromEntries(said)
}
