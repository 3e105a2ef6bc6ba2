import { expect, test } from "vitest"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../testing/clock.ts"
import { createPower } from "../../testing/power.ts"
import { createSimulatedStore } from "../../testing/store.ts"
import { openCatalog } from "./catalog.ts"

test("a listing of many items rests between its parts, so that others get a turn", async () => {
  const clock = createSimulatedClock(0)
  const store = createSimulatedStore({ chance: createSimulatedChance("catalog"), latencyMs: () => 0 })
  let rests = 0
  const defer = (run: () => void) => {
    rests++
    queueMicrotask(run)
  }
  const catalog = await openCatalog({ store: store.mount(createPower({ clock })), defer })
  const count = 1_000
  const puts = Array.from({ length: count }, (_, i) => catalog.put(`trigger/t${String(i).padStart(4, "0")}`, i))
  await runUntil(clock, Promise.all(puts))
  const stop = new AbortController()
  const values: unknown[] = []
  const listing = async () => {
    for await (const change of catalog.watch("trigger/", stop.signal)) {
      if (change.kind === "current") return
      if (change.kind === "put") values.push(change.item.value)
    }
  }
  await runUntil(clock, listing())
  expect(values).toEqual(Array.from({ length: count }, (_, i) => i))
  expect(rests).toBeGreaterThanOrEqual(3)
})
