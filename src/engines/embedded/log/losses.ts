import type { Store, Write } from "../store.ts"
import type { Damage, Reader } from "./reader.ts"
import type { Segments } from "./segments.ts"

/** Under which they are kept, in the journal's `meta`. */
export const lossesKey = "losses"
const keptMax = 1_000

/** What was found to be lost before. */
export function rememberedLosses(store: Store): readonly Damage[] {
  const stored = store.get("meta", lossesKey)
  return stored === undefined ? [] : (JSON.parse(Buffer.from(stored).toString("utf8")) as readonly Damage[])
}

/** Those that are not there now either: a file that a copy brought back is no loss any more. */
export async function leftOf(
  losses: readonly Damage[],
  segments: Segments,
  reader: Reader,
): Promise<readonly Damage[]> {
  const left: Damage[] = []
  for (const loss of losses) if (await isLost(loss, segments, reader)) left.push(loss)
  return left
}

async function isLost(loss: Damage, segments: Segments, reader: Reader): Promise<boolean> {
  const { kind, position } = loss
  const segment = segments.at(position)
  // With its segment retention has given back what was left of what is damaged, where it is known what that was.
  if (segment === undefined) return kind === "missing" || loss.isUnindexed === true
  // A segment that is there again begins there.
  if (kind === "missing" && segment.base === position) return false
  return kind === "unfinished" || !(await reader.holds(position))
}

export function lossesWrite(losses: readonly Damage[]): Write {
  return { table: "meta", key: lossesKey, value: Buffer.from(JSON.stringify(losses.slice(0, keptMax))) }
}
