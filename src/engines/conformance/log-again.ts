import { expect } from "vitest"
import type { Engine } from "../../core/engine.ts"
import type { Declare } from "./harness.ts"
import { append, event, events, key, orders, read, users } from "./log-fixture.ts"

const dedupe = { dedupeWindowMs: 10_000 }
const isDuplicate = (appended: readonly { readonly duplicate: boolean }[]) => appended.map((one) => one.duplicate)

/** Events that come again when the log no longer holds them, and within one call. */
export function logAgain(it: Declare<Engine>): void {
  it("takes an event anew once its topic was emptied", async ({ log }) => {
    const [first] = await log.append(orders, [event("a")], dedupe)
    await append(log, users, event("other"))
    expect(await log.trim(orders, { eventsMax: 0 })).toBe(1)
    const [again] = await log.append(orders, [event("a")], dedupe)
    expect(again!.duplicate).toBe(false)
    expect(log.compare(first!.cursor, again!.cursor)).toBeLessThan(0)
    expect(await log.append(orders, [event("a")], dedupe)).toEqual([{ cursor: again!.cursor, duplicate: true }])
    expect(await read(log)).toEqual(["other", "a"])
  })

  it("takes an event anew that was dropped for its age, within the window and after it", async ({ log }, harness) => {
    await log.append(orders, [event("a")], dedupe)
    await harness.elapse(3_000)
    expect(await log.trim(orders, { ageMaxMs: 2_000 })).toBe(1)
    expect(isDuplicate(await log.append(orders, [event("a")], dedupe))).toEqual([false])
    await harness.elapse(12_000)
    expect(await log.trim(orders, { ageMaxMs: 2_000 })).toBe(1)
    expect(isDuplicate(await log.append(orders, [event("a")], dedupe))).toEqual([false])
    expect(await read(log)).toEqual(["a"])
  })

  it("takes a batch that holds an event of an emptied topic", async ({ log }) => {
    await log.append(orders, [event("e1")], dedupe)
    await log.trim(orders, { eventsMax: 0 })
    expect(isDuplicate(await log.append(orders, events(3), dedupe))).toEqual([false, false, false])
    expect(isDuplicate(await log.append(orders, events(4), dedupe))).toEqual([true, true, true, false])
    expect((await read(log)).toSorted()).toEqual(["e0", "e1", "e2", "e3"])
  })

  it("takes an event anew on an emptied topic on the condition that nothing is there", async ({ log }) => {
    for (const address of [orders, key("7")]) {
      const condition = { ...dedupe, expectedLast: "none" as const }
      await log.append(address, [event("a")], condition)
      expect(await log.trim(orders, { eventsMax: 0 })).toBe(1)
      expect(isDuplicate(await log.append(address, [event("a"), event("b")], condition))).toEqual([false, false])
      await log.trim(orders, { eventsMax: 0 })
      expect(await log.last(address)).toBeUndefined()
    }
  })

  it("takes an event anew on a topic emptied before a crash", async (engine, harness) => {
    await engine.log.append(orders, events(2), dedupe)
    await engine.log.trim(orders, { eventsMax: 0 })
    const { log } = await harness.crash(engine)
    expect(isDuplicate(await log.append(orders, events(3), dedupe))).toEqual([false, false, false])
    expect((await read(log)).toSorted()).toEqual(["e0", "e1", "e2"])
  })

  it("stores an event of a large call once, wherever in it it comes again", async ({ log }) => {
    const large = (id: string) => event(id, {}, Buffer.alloc(600_000, id), "text")
    const call = ["a", "b", "c", "d", "a", "e", "f", "d", "g", "a"].map(large)
    const appended = await log.append(orders, call, dedupe)
    expect(appended.flatMap((one, i) => (one.duplicate ? [i] : []))).toEqual([4, 7, 9])
    expect([4, 7, 9].map((i) => appended[i]!.cursor)).toEqual([0, 3, 0].map((i) => appended[i]!.cursor))
    expect(await read(log)).toEqual(["a", "b", "c", "d", "e", "f", "g"])
  })

  it("keeps a large call's events together, and what comes meanwhile behind them, each once", async ({ log }) => {
    const large = ["a", "b", "c", "d", "e", "f", "g", "h"].map((id) => event(id, {}, Buffer.alloc(600_000), "text"))
    const calls = [
      log.append(orders, large, dedupe),
      log.append(orders, [event("after")]),
      log.append(orders, [event("g")], dedupe),
    ]
    const [first, , third] = await Promise.all(calls)
    expect(third).toEqual([{ cursor: first![6]!.cursor, duplicate: true }])
    expect(await read(log)).toEqual(["a", "b", "c", "d", "e", "f", "g", "h", "after"])
  })
}
