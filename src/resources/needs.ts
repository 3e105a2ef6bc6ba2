import type { Catalog, CatalogWrite, Expectation, Item } from "../core/catalog.ts"
import type { CatalogKeys } from "../core/catalog-keys.ts"
import { type Clock, sleep } from "../core/clock.ts"
import { ConflictError } from "../core/errors.ts"

/*
 * One process may delete what another one is about to use. So a deletion says first, under a key of its own, that it is under
 * way; then it looks who uses what it deletes, and deletes only if that key is as it left it. Whoever stores what needs
 * something does so only while that is there and nobody says that it is being deleted. Where somebody has been saying so for long,
 * it died, or takes too long: the key is removed together with the write, and the deletion, if it is still there, begins anew
 * and sees the new use.
 */

/** A kind of resource that others need. */
export interface Needed {
  readonly keys: CatalogKeys
  /** Where the catalog says that one is being deleted. */
  readonly deletions: CatalogKeys
}

interface Named {
  readonly tenant: string
  readonly id: string
}

/** What is written together with a resource, and what has to be so for it. */
export interface Along {
  readonly writes: readonly CatalogWrite[]
  readonly conditions: readonly Expectation[]
}

interface Place {
  readonly catalog: Catalog
  readonly clock: Clock
}

export const nothingAlong: Along = { writes: [], conditions: [] }

/** How long somebody may say that it deletes something before others do not mind any more. */
const deletingMsMax = 2_000
const askedEveryMs = 50

export function both(a: Along, b: Along): Along {
  return { writes: [...a.writes, ...b.writes], conditions: [...a.conditions, ...b.conditions] }
}

/** What makes that something is there when what needs it is stored; undefined where it is not there. Waits while it is being deleted. */
export async function needOf({ catalog, clock }: Place, of: Needed, named: Named): Promise<Along | undefined> {
  const key = of.deletions.of(named)
  const until = clock.steady() + deletingMsMax
  // Ends: at `until` at the latest.
  for (;;) {
    const deletion = await catalog.get(key, { newest: true })
    const item = await catalog.get(of.keys.of(named), { newest: true })
    if (item === undefined) return undefined
    const isThere = { key: item.key, expected: item.revision }
    if (deletion === undefined) return { writes: [], conditions: [isThere, { key, expected: 0 }] }
    if (clock.steady() >= until)
      return { writes: [{ key, value: undefined, expected: deletion.revision }], conditions: [isThere] }
    await sleep(clock, askedEveryMs)
  }
}

/** A deletion that others know of. */
export interface Deletion {
  /** Deletes it; false where something came first: it was changed, or somebody needs it now. */
  finish(): Promise<boolean>
  /** Says that it is not to be deleted after all. */
  giveUp(): Promise<void>
}

/** Says that something is about to be deleted: what is found from now on to use it is all that does, or the deletion fails. */
export async function beginDeletion({ catalog, clock }: Place, of: Needed, item: Item<Named>): Promise<Deletion> {
  const key = of.deletions.of(item.value)
  const revision = await catalog.put(key, { since: clock.now() })
  return {
    async finish() {
      const deleted = { key: item.key, value: undefined, expected: item.revision }
      return notInConflict(catalog.change([deleted, { key, value: undefined, expected: revision }]))
    },
    async giveUp() {
      await notInConflict(catalog.delete(key, revision))
    },
  }
}

async function notInConflict(write: Promise<unknown>): Promise<boolean> {
  try {
    await write
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}
