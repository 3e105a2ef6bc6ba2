import type { Cursor } from "../../../core/cursor.ts"
import type { Delivery } from "../../../core/delivery.ts"
import type { Store, Write } from "../../parts/store.ts"

/*
 * Where a shard is not a reader's home, deliveries come to it before the reader's position moves, and the call that brought
 * them may come again, whole or in other pieces. So it keeps, per reader, the ids of all beyond the last position that it
 * knows of:
 *
 *   meta  recent <reader>  the position, a space, the last cursor of all; then, each after a line break, a trigger (with its
 *                          incarnation, as ids have them), a space and its cursors one after another. Of a delivery whose
 *                          id does not follow from these: `=`, its cursor, a space, its id
 */

/** What came for a reader from beyond a position of it. */
export interface Recent {
  /** The empty text: from the beginning. */
  readonly after: string
  /** Cursors by delivery id. */
  readonly cursors: ReadonlyMap<string, string>
}

const recentPrefix = "recent "
const cursorLength = 11

/** The place of what is known of a reader. */
export function recentKey(reader: string): string {
  return recentPrefix + reader
}

/** What came from beyond `after`; undefined where a later position is known already, so that the caller comes too late. */
export function findRecent(store: Store, reader: string, after: Cursor | undefined): Recent | undefined {
  const since: string = after ?? ""
  const value = store.get("meta", recentKey(reader))
  if (value === undefined) return { after: since, cursors: new Map() }
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  const end = text.indexOf("\n")
  const [known, last] = text.slice(0, end).split(" ") as [string, string]
  if (known > since) return undefined
  return { after: since, cursors: last > since ? readLines(text.slice(end + 1), since) : new Map() }
}

/** Keeps these beside what came before. */
export function putRecent(reader: string, { after, cursors }: Recent, added: readonly Delivery[]): Write {
  const byTrigger = new Map<string, string[]>()
  const lines = [""]
  let last = ""
  const add = (id: string, cursor: string) => {
    if (cursor > last) last = cursor
    const trigger = id.slice(cursorLength + 1)
    const isPlain = cursor.length === cursorLength && id === `${cursor}.${trigger}` && !/[\s=]/.test(trigger)
    const known = isPlain ? byTrigger.get(trigger) : undefined
    if (!isPlain) lines.push(`=${cursor} ${id}`)
    else if (known) known.push(cursor)
    else byTrigger.set(trigger, [cursor])
  }
  for (const [id, cursor] of cursors) add(id, cursor)
  for (const { id, cursor } of added) add(id, cursor)
  lines[0] = `${after} ${last}`
  for (const [trigger, each] of byTrigger) lines.push(`${trigger} ${each.join("")}`)
  return { table: "meta", key: recentKey(reader), value: Buffer.from(lines.join("\n")) }
}

function readLines(text: string, since: string): ReadonlyMap<string, string> {
  const cursors = new Map<string, string>()
  const add = (id: string, cursor: string) => {
    if (cursor > since) cursors.set(id, cursor)
  }
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ")
    if (line.startsWith("=")) {
      add(line.slice(space + 1), line.slice(1, space))
      continue
    }
    for (let at = space + 1; at < line.length; at += cursorLength) {
      const cursor = line.slice(at, at + cursorLength)
      add(`${cursor}.${line.slice(0, space)}`, cursor)
    }
  }
  return cursors
}
