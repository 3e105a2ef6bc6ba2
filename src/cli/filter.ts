import type { Command } from "commander"
import type { Filter } from "../core/resources.ts"
import { jsonValue, pairs } from "./command.ts"
import { UsageError } from "./failures.ts"

/** Flags that say which events are meant. */
export interface FilterOptions {
  readonly exact?: Readonly<Record<string, string>>
  readonly prefix?: Readonly<Record<string, string>>
  readonly suffix?: Readonly<Record<string, string>>
  readonly filter?: unknown
}

/** Adds the flags of {@link FilterOptions}. */
export function withFilters(command: Command): Command {
  return command
    .optionsGroup("Filters (all have to hold):")
    .addOption(pairs("--exact <attribute=value>", "events whose attribute is this (repeatable)"))
    .addOption(pairs("--prefix <attribute=value>", "events whose attribute begins with this (repeatable)"))
    .addOption(pairs("--suffix <attribute=value>", "events whose attribute ends with this (repeatable)"))
    .option(
      "--filter <json>",
      'a filter in full, or an array of them: \'{"not": {"exact": {"type": "a"}}}\'',
      jsonValue,
    )
}

/** The filters that the flags say; undefined where they say none. */
export function filtersOf(options: FilterOptions): readonly Filter[] | undefined {
  const filters: Filter[] = []
  if (options.exact !== undefined) filters.push({ exact: options.exact })
  if (options.prefix !== undefined) filters.push({ prefix: options.prefix })
  if (options.suffix !== undefined) filters.push({ suffix: options.suffix })
  // The hub checks what is inside; it names the place of what is wrong.
  if (Array.isArray(options.filter)) filters.push(...(options.filter as Filter[]))
  else if (typeof options.filter === "object" && options.filter !== null) filters.push(options.filter as Filter)
  else if (options.filter !== undefined) throw new UsageError("--filter has to be a JSON object or an array of them")
  return filters.length === 0 ? undefined : filters
}
