import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId } from "../../../core/delivery.ts"
import type { Store, Write } from "../../embedded/store.ts"

/*
 * Where a shard is not a reader's home, deliveries come to it before the reader's position moves, and the call that brought
 * them may come again. So it keeps, per reader, the ids of all that came since the last position that it knows of:
 *
 *   meta  recent <reader>  the position, and after a line break the ids: lines of a trigger, a space, and its cursors one
 *                          after another; of a delivery whose id does not follow from these, `=` and the id
 */

/** What came for a reader since a position of it. */
export interface Recent {
  /** The empty text: since the beginning. */
  readonly after: string
  readonly ids: ReadonlySet<string>
}

const recentPrefix = "recent "
const cursorLength = 11

/** The place of what is known of a reader. */
export function recentKey(reader: string): string {
  return recentPrefix + reader
}

/** What came since `after`; undefined where a later position is known already, so that the caller comes too late. */
export function findRecent(store: Store, reader: string, after: Cursor | undefined): Recent | undefined {
  const since: string = after ?? ""
  const value = store.get("meta", recentKey(reader))
  if (value === undefined) return { after: since, ids: new Set() }
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  const lines = text.split("\n", text.startsWith(`${since}\n`) ? undefined : 1)
  const known = lines[0]!
  if (known > since) return undefined
  return { after: since, ids: known === since ? idsOf(lines) : new Set() }
}

/** Keeps these beside what came before since the same position. */
export function putRecent(reader: string, { after, ids }: Recent, added: readonly Delivery[]): Write {
  const cursors = new Map<string, string[]>()
  const lines = [after]
  const add = (id: string) => {
    const [cursor, trigger] = [id.slice(0, cursorLength), id.slice(cursorLength + 1)]
    if (id !== deliveryId(cursor as Cursor, trigger) || /[\s=]/.test(trigger)) return lines.push(`=${id}`)
    const known = cursors.get(trigger)
    if (known) return known.push(cursor)
    return cursors.set(trigger, [cursor])
  }
  for (const id of ids) add(id)
  for (const { id } of added) add(id)
  for (const [trigger, each] of cursors) lines.push(`${trigger} ${each.join("")}`)
  return { table: "meta", key: recentKey(reader), value: Buffer.from(lines.join("\n")) }
}

/** The ids of the lines after the first. */
function idsOf(lines: readonly string[]): ReadonlySet<string> {
  const ids = new Set<string>()
  for (const line of lines.slice(1)) {
    if (line.startsWith("=")) {
      ids.add(line.slice(1))
      continue
    }
    const space = line.indexOf(" ")
    for (let at = space + 1; at < line.length; at += cursorLength) {
      ids.add(deliveryId(line.slice(at, at + cursorLength) as Cursor, line.slice(0, space)))
    }
  }
  return ids
}
