import type { Catalog } from "../core/catalog.ts"
import { migrationKey } from "../core/catalog-keys.ts"

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
  const mark = (await catalog.get<MigrationMark>(migrationKey))?.value
  return mark === undefined || mark.doneAt !== undefined ? undefined : mark
}
