import type { Filter } from "../core/resources.ts"
import { dialects } from "./dialects.ts"
import { limits } from "./limits.ts"
import { describe, type Fault, Reading } from "./reading.ts"
import { allOf, type Node } from "./tree.ts"

export type ParsedFilters =
  | { readonly ok: true; readonly filters: readonly Filter[] }
  | { readonly ok: false; readonly faults: readonly Fault[] }

/** Checks an array of filters as it came from outside; names every fault at once. Nothing given means no filters. */
export function parseFilters(input: unknown): ParsedFilters {
  const given = input === undefined ? [] : input
  const read = readFilters(given)
  return read.ok ? { ok: true, filters: given as readonly Filter[] } : read
}

/** What is wrong first with filters that are stored; undefined where nothing is. */
export function filtersFault(filters: readonly Filter[]): string | undefined {
  const read = readFilters(filters)
  const fault = read.ok ? undefined : read.faults[0]
  return fault && `stored filters do not check: ${fault.field}: ${fault.message}`
}

/** The tree of an array of filters, all of which must hold, or every fault in it. */
export function readFilters(
  input: unknown,
): { readonly ok: true; readonly node: Node } | { readonly ok: false; readonly faults: readonly Fault[] } {
  const reading = new Reading(dialects)
  const field = "filters"
  if (!Array.isArray(input)) reading.fault(field, `must be an array of filters, not ${describe(input)}`)
  else if (input.length > limits.filtersMax) reading.fault(field, `has more than ${limits.filtersMax} filters`)
  else {
    const nodes = reading.filters(input, field)
    if (nodes !== undefined && reading.faults.length === 0) return { ok: true, node: allOf(nodes) }
  }
  return { ok: false, faults: reading.faults }
}
