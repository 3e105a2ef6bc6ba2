import type { Command } from "commander"
import { parseExact } from "../../formats/exact-json.ts"
import type { Context } from "../command.ts"
import { UsageError } from "../failures.ts"
import { type FilterOptions, filtersOf, saysNone } from "../filter-flags.ts"
import { readInput } from "../resource.ts"

/** Flags that say which event is asked about. */
export interface SubjectOptions {
  readonly cursor?: string
  readonly event?: string
  readonly topic?: string
}

/** Adds the flags of {@link SubjectOptions}. */
export function withSubject(command: Command, topic: string): Command {
  return command
    .option("--cursor <cursor>", "a stored event")
    .option("--event <file>", "an event as JSON, instead (`-`: standard input)")
    .option("--topic <topic>", topic)
}

/** The event that the flags name, as the hub wants it. Throws UsageError where they name none, or two. */
export async function subjectOf(context: Context, options: SubjectOptions): Promise<Readonly<Record<string, unknown>>> {
  if ((options.cursor === undefined) === (options.event === undefined)) {
    throw new UsageError("which event?", ["Give --cursor of a stored one, or --event with a file that holds one."])
  }
  if (options.cursor !== undefined) return { cursor: options.cursor }
  const text = await readInput(context, options.event!)
  try {
    return { event: parseExact(text) }
  } catch (error) {
    throw new UsageError(
      `${options.event} is not JSON: ${(error as Error).message}`,
      ["It has to be one CloudEvent."],
      {
        cause: error,
      },
    )
  }
}

/**
 * Which trigger is meant: a stored one by its id, or one that the filter flags describe. Throws UsageError for both at once.
 */
export function triggerOf(
  id: string | undefined,
  options: FilterOptions & { readonly topic?: string },
): Readonly<Record<string, unknown>> | undefined {
  const filters = filtersOf(options)
  if (id === undefined) return { topic: options.topic, filters: filters ?? [] }
  if (filters !== undefined || saysNone(options)) {
    throw new UsageError("a trigger and filters at once", [
      "Name a trigger, or say the filters of one that is not saved.",
    ])
  }
  return undefined
}
