import type { Filter } from "../core/resources.ts"
import { parseFilters } from "../filters/index.ts"
import type { Faults } from "./faults.ts"

/** The filters of a body, where nothing given means none; what is wrong with them is told to `faults`. */
export function readFilters(filters: unknown, faults: Pick<Faults, "add">): readonly Filter[] {
  const parsed = parseFilters(filters)
  if (parsed.ok) return parsed.filters
  for (const fault of parsed.faults) faults.add(fault.field, fault.message)
  return []
}
