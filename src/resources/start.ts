import Type, { type TOptional, type TUnsafe } from "typebox"
import { parseTopic } from "../core/address.ts"
import type { Cursor } from "../core/cursor.ts"
import { InvalidCursorError } from "../core/errors.ts"
import { isTimestamp } from "../formats/attributes.ts"
import type { ResourceContext } from "./context.ts"
import type { Faults } from "./faults.ts"
import { patchKeyword } from "./patch-schema.ts"
import { choice, component, strict } from "./schemas.ts"

/** A place in a topic, as a request names it. */
export type Start = "oldest" | "now" | "newest" | { readonly cursor: string } | { readonly time: string }

/** The schema of a {@link Start}; `end` is how the present end is called there. */
export function startInput(name: string, end: "now" | "newest", description: string): TUnsafe<Start> {
  const schema = Type.Union(
    [
      choice([end, "oldest"]),
      strict({ cursor: Type.String() }),
      strict({ time: Type.String({ description: "RFC 3339", examples: ["2026-01-31T12:00:00Z"] }) }),
    ],
    {
      description,
      errorMessage: `must be "${end}", "oldest", {"cursor": "…"} or {"time": "2026-01-31T12:00:00Z"}`,
    },
  )
  return Type.Unsafe<Start>(component(name, schema))
}

/** The member of a resource whose start stays what it was: a patch may only say that. */
export function startField(input: TUnsafe<Start>, description: string): TOptional<TUnsafe<Start>> {
  const patch = strict({ cursor: Type.Optional(Type.String()), time: Type.Optional(Type.Null()) }, { description })
  return Type.Optional({ ...input, [patchKeyword]: patch } as typeof input)
}

/** Whether what is asked of a resource that began at `from` leaves its start as it is. */
export function staysAt(start: Start | undefined, from: Cursor): boolean {
  return start === undefined || (typeof start === "object" && "cursor" in start && start.cursor === from)
}

/** What part of the log a topic is in, or a key of it; what is none is told elsewhere. */
export function partitionOf(
  { engine: { log } }: Pick<ResourceContext, "engine">,
  { tenant, topic }: { readonly tenant: string; readonly topic: string },
): number {
  const parsed = parseTopic(topic)
  return typeof parsed === "string" ? 0 : log.partitionOf({ tenant, ...parsed })
}

/** Where faults are told: under which field. */
interface Telling {
  readonly field: string
  readonly faults: Pick<Faults, "add">
}

/** The place in a part of the log; its present end where none is said, or where it is wrong. */
export async function placeOfStart(
  { engine: { log } }: ResourceContext,
  start: Start | undefined,
  partition: number,
  { field, faults }: Telling,
): Promise<Cursor> {
  if (start === undefined || start === "now" || start === "newest") return log.head(partition)
  if (start === "oldest") return log.oldest(partition)
  if ("time" in start) {
    const time = isTimestamp(start.time) ? Date.parse(start.time) : Number.NaN
    if (!Number.isNaN(time)) return log.at(time, partition)
    faults.add(`${field}.time`, "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z")
    return log.head(partition)
  }
  const head = await log.head(partition)
  const cursor = start.cursor as Cursor
  const fault = cursorFault(log, cursor, head)
  if (fault === undefined) return cursor
  faults.add(`${field}.cursor`, fault)
  return head
}

/** Why nothing can stand at a cursor, where `head` is the end of its topic's part of the log; undefined where it can. */
export function cursorFault(
  log: Pick<ResourceContext["engine"]["log"], "compare">,
  cursor: Cursor,
  head: Cursor,
): string | undefined {
  try {
    return log.compare(cursor, head) <= 0 ? undefined : "is beyond the end of the log"
  } catch (error) {
    if (!(error instanceof InvalidCursorError)) throw error
    return "is no cursor of this topic; publish and read answer with cursors"
  }
}
