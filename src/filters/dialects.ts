import { pathDialect } from "./path/dialect.ts"
import { patternDialect } from "./pattern/dialect.ts"
import { queryDialect } from "./query/dialect.ts"
import type { Dialect } from "./reading.ts"
import { sqlDialect } from "./sql/dialect.ts"
import { subscriptionDialects } from "./subscriptions.ts"

/** Every filter language, by the name that a filter object gives it. */
export const dialects: ReadonlyMap<string, Dialect> = new Map(
  [...subscriptionDialects, sqlDialect, patternDialect, pathDialect, queryDialect].map((dialect) => [
    dialect.name,
    dialect,
  ]),
)
