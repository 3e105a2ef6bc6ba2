import { expect, test } from "vitest"
import { StorageFullError } from "../core/errors.ts"
import type { Write } from "../engines/parts/store.ts"
import { createSimulatedChance } from "./chance.ts"
import { createSimulatedClock, runUntil } from "./clock.ts"
import { createPower } from "./power.ts"
import { createSimulatedStore } from "./store.ts"

const put = (key: string, value = 1): Write => ({ table: "meta", key, value: Uint8Array.of(value) })
const remove = (key: string): Write => ({ table: "meta", key, value: undefined })

function machine(seed = 1) {
  const clock = createSimulatedClock()
  const simulated = createSimulatedStore({ chance: createSimulatedChance(seed) })
  const start = () => {
    const power = createPower({ clock })
    return { power, store: simulated.mount(power) }
  }
  const keys = () => simulated.entries("meta").map(({ key }) => key)
  return { clock, simulated, start, keys }
}

test("writes are seen once resolved, in the order of calls", async () => {
  const { clock, start } = machine()
  const { store } = start()
  const order: string[] = []
  for (const key of ["b", "a", "c"]) void store.write([put(key)]).then(() => order.push(key))
  expect(store.get("meta", "a")).toBeUndefined()
  await clock.advance(100)
  expect(order).toEqual(["b", "a", "c"])
  expect(store.get("meta", "a")).toEqual(Uint8Array.of(1))
  void store.write([put("a", 2), remove("b")])
  await clock.advance(100)
  expect([...store.range("meta")]).toEqual([
    { key: "a", value: Uint8Array.of(2) },
    { key: "c", value: Uint8Array.of(1) },
  ])
})

test("ranges: inclusive start, exclusive end, reverse, limit", async () => {
  const { clock, start } = machine()
  const { store } = start()
  void store.write(["e", "a", "d", "b", "c"].map((key) => put(key)))
  await clock.advance(100)
  const keys = (range: Parameters<typeof store.range>[1]) => [...store.range("meta", range)].map(({ key }) => key)
  expect(keys({ start: "b", end: "d" })).toEqual(["b", "c"])
  expect(keys({ start: "b", end: "e", reverse: true, limit: 2 })).toEqual(["d", "c"])
  expect(keys({ start: "bb", limit: 1 })).toEqual(["c"])
  expect(keys({ end: "a" })).toEqual([])
})

test("what the caller changes afterwards changes nothing in the store", async () => {
  const { clock, start } = machine()
  const { store } = start()
  const value = Uint8Array.of(1)
  void store.write([{ table: "meta", key: "a", value }])
  value[0] = 9
  await clock.advance(100)
  store.get("meta", "a")![0] = 9
  expect(store.get("meta", "a")).toEqual(Uint8Array.of(1))
})

test("a cut keeps a prefix of the calls, and at least what was flushed", async () => {
  const kept = new Set<number>()
  for (let seed = 0; seed < 200; seed++) {
    const { clock, start, keys } = machine(seed)
    const { power, store } = start()
    const names = ["a", "b", "c", "d", "e", "f"]
    let flushed = false
    void store.write([put("a")])
    void store.write([put("b"), put("zz"), remove("a")])
    void store.flushed().then(() => {
      flushed = true
      for (const name of names.slice(2)) void store.write([put(name)])
    })
    while (!flushed) await clock.advance(0.2)
    await clock.advance((seed % 10) * 0.3)
    power.cut()
    const left = keys()
    expect(left.slice(0, 1)).toEqual(["b"])
    expect(left.at(-1)).toBe("zz")
    const rest = left.slice(1, -1)
    expect(rest).toEqual(names.slice(2, 2 + rest.length))
    kept.add(rest.length)
  }
  expect([...kept].toSorted()).toEqual([0, 1, 2, 3, 4])
})

test("the next process goes on where the cut left it; the dead one writes nothing any more", async () => {
  const { clock, simulated, start, keys } = machine(5)
  const first = start()
  void first.store.write([put("a")])
  await clock.advance(100)
  first.power.cut()
  let resolved = false
  void first.store.write([put("ghost")]).then(() => {
    resolved = true
  })
  const second = start()
  void second.store.write([put("b")])
  await clock.advance(100)
  expect(keys()).toEqual(["a", "b"])
  expect(resolved).toBe(false)
  expect(simulated.onDisk).toBe(2)
})

test("closing makes everything durable", async () => {
  const { clock, simulated, start } = machine()
  const { store } = start()
  void store.write([put("a")])
  const closed = store.close()
  await clock.advance(100)
  await closed
  expect(simulated.applied).toBeGreaterThan(0)
  expect(simulated.onDisk).toBe(simulated.applied)
  expect(() => store.get("meta", "a")).toThrow()
})

test("a full store refuses every call that waits, keeps a prefix, and takes calls again when there is room", async () => {
  const { clock, simulated, start, keys } = machine()
  const { store } = start()
  await runUntil(clock, store.write([put("a")]))
  simulated.full = true
  const refused = [store.write([put("b")]), store.write([put("c")])].map((call) =>
    expect(runUntil(clock, call)).rejects.toThrow(StorageFullError),
  )
  await runUntil(clock, store.flushed())
  await Promise.all(refused)
  simulated.full = false
  await runUntil(clock, store.write([put("d")]))
  expect(keys()).toEqual(["a", "d"])
})
