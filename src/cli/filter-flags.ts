import type { Command } from "commander"
import type { Filter } from "../core/resources.ts"
import { jsonValue, pairs, repeatable } from "./command.ts"
import { UsageError } from "./failures.ts"

/** Flags that say which events are meant. */
export interface FilterOptions {
  readonly exact?: Readonly<Record<string, string>>
  readonly prefix?: Readonly<Record<string, string>>
  readonly suffix?: Readonly<Record<string, string>>
  readonly path?: Readonly<Record<string, string>>
  readonly sql?: readonly string[]
  readonly query?: readonly string[]
  readonly pattern?: unknown
  readonly filter?: unknown
  readonly filters?: unknown
}

const oneOrOther = "Both would have to hold; for one or the other: --sql \"type IN ('a', 'b')\"."

/** Adds the flags of {@link FilterOptions}. */
export function withFilters(command: Command): Command {
  return command
    .optionsGroup("Filters (all have to hold; redcar help filter):")
    .addOption(pairs("--exact <attribute=value>", "events whose attribute is this (repeatable)", oneOrOther))
    .addOption(pairs("--prefix <attribute=value>", "events whose attribute begins with this (repeatable)", oneOrOther))
    .addOption(pairs("--suffix <attribute=value>", "events whose attribute ends with this (repeatable)", oneOrOther))
    .addOption(
      pairs(
        "--path <attribute=pattern>",
        "events whose attribute matches: subject=/customers/*/** (repeatable)",
        oneOrOther,
      ),
    )
    .addOption(
      repeatable("--sql <expression>", "CloudEvents SQL, and data: \"type = 'a' AND data.total > 10\" (repeatable)"),
    )
    .addOption(repeatable("--query <line>", "a plain line: \"type == 'a' and data.total > 10\" (repeatable)"))
    .option("--pattern <json>", 'an EventBridge event pattern: \'{"type": ["a", "b"]}\'', jsonValue)
    .option("--filter <json>", 'a filter in full: \'{"not": {"exact": {"type": "a"}}}\'', jsonValue)
    .option("--filters <json>", "an array of filters in full", jsonValue)
}

/** The filters that the flags say; undefined where they say none. */
export function filtersOf(options: FilterOptions): readonly Filter[] | undefined {
  const filters = sayings(options).map(({ filter }) => filter)
  return filters.length === 0 ? undefined : filters
}

/** The flag that said each of the filters of {@link filtersOf}. */
export function filterFlags(options: FilterOptions): readonly string[] {
  return sayings(options).map(({ flag }) => flag)
}

interface Saying {
  readonly flag: string
  readonly filter: Filter
}

function sayings(options: FilterOptions): readonly Saying[] {
  const { exact, prefix, suffix, path, sql = [], query = [], pattern } = options
  return [
    ...(exact === undefined ? [] : [{ flag: "--exact", filter: { exact } }]),
    ...(prefix === undefined ? [] : [{ flag: "--prefix", filter: { prefix } }]),
    ...(suffix === undefined ? [] : [{ flag: "--suffix", filter: { suffix } }]),
    ...(path === undefined ? [] : [{ flag: "--path", filter: { path } }]),
    ...sql.map((each) => ({ flag: "--sql", filter: { sql: each } })),
    ...query.map((each) => ({ flag: "--query", filter: { query: each } })),
    // The hub checks what is inside; it names the place of what is wrong.
    ...(pattern === undefined
      ? []
      : [{ flag: "--pattern", filter: { pattern: pattern as Readonly<Record<string, unknown>> } }]),
    ...inFull(options.filter, "--filter").map((filter) => ({ flag: "--filter", filter })),
    ...inFull(options.filters, "--filters").map((filter) => ({ flag: "--filters", filter })),
  ]
}

/** Whether some flag says that there are to be no filters: `--filters '[]'`. */
export function saysNone(options: FilterOptions): boolean {
  return filtersOf(options) === undefined && (options.filter !== undefined || options.filters !== undefined)
}

function inFull(value: unknown, flag: string): readonly Filter[] {
  if (value === undefined) return []
  if (Array.isArray(value)) return value as Filter[]
  if (typeof value === "object" && value !== null) return [value as Filter]
  throw new UsageError(`${flag} has to be a JSON object or an array of them`)
}
