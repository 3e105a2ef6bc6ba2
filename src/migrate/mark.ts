import type { Catalog } from "../core/catalog.ts"

/** Where an engine that was moved into says so, in its catalog. Not moved on with the rest. */
export const markKey = "migration"

/** What the target of a migration keeps of it. */
export interface MigrationMark {
  /** Of the ledger that goes with it. */
  readonly id: string
  readonly from: string
  readonly startedAt: number
  /** Set once everything was copied and found to be the same. */
  readonly doneAt?: number
}

/** The migration that an engine is the target of and that has not come to its end; undefined where there is none. */
export async function unfinishedMigration(catalog: Pick<Catalog, "get">): Promise<MigrationMark | undefined> {
  const mark = (await catalog.get<MigrationMark>(markKey))?.value
  return mark === undefined || mark.doneAt !== undefined ? undefined : mark
}
