import { expect, test } from "vitest"
import type { Cursor } from "../../../core/cursor.ts"
import { Event } from "../../../core/event.ts"
import type { StoredEvent } from "../../../core/log.ts"
import { RecentEvents } from "./recent-events.ts"

const data = Buffer.alloc(1 << 20)

function stored(n: number): StoredEvent {
  const event = Event.of({ specversion: "1.0", id: `${n}`, source: "/shop", type: "t" }, data, "binary")
  return { address: { tenant: "acme", topic: "orders" }, cursor: `${n}` as Cursor, storedAt: n, event }
}

test("what was read last is there, what was read long before is not, and no more is held than both halves take", () => {
  const recent = new RecentEvents()
  for (let n = 0; n < 100; n++) recent.add([stored(n)])
  const held = Array.from({ length: 100 }, (_, n) => n).filter((n) => recent.get(`${n}` as Cursor) !== undefined)
  expect(recent.get("99" as Cursor)?.event.id).toBe("99")
  expect(held.length).toBeGreaterThanOrEqual(8)
  expect(held.length).toBeLessThanOrEqual(17)
  expect(held).toEqual(Array.from({ length: held.length }, (_, i) => 100 - held.length + i))
})
