import { describe, expect, it } from "vitest"
import type { Catalog, Change, Item } from "../core/catalog.ts"
import { ConflictError, OverloadError } from "../core/errors.ts"
import type { Trigger } from "../core/resources.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { createDestination, createTrigger } from "../testing/samples.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"
import { hold } from "./conclude.ts"
import { Directory } from "./directory.ts"
import { Gate, type Hub } from "./hub.ts"

async function start() {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const active: string[] = []
  const listener = { active: ({ id }: Trigger) => active.push(id), destination: () => {} }
  /** The catalog, with changes that do not come by. */
  const late: Catalog = {
    get: (key, options) => engine.catalog.get(key, options),
    list: (prefix, options) => engine.catalog.list(prefix, options),
    put: (key, value, expected) => engine.catalog.put(key, value, expected),
    delete: (key, expected) => engine.catalog.delete(key, expected),
    change: (writes, conditions) => engine.catalog.change(writes, conditions),
    async *watch<T>(_: string, stop: AbortSignal): AsyncGenerator<Change<T>> {
      yield { kind: "current" }
      await new Promise((resolve) => stop.addEventListener("abort", resolve))
    },
  }
  const watch = async (catalog: Catalog) => {
    const directory = new Directory({ catalog, clock: power.clock, listener })
    const current = Promise.withResolvers<void>()
    void directory.watch(new AbortController().signal, current.resolve)
    await machine.run(current.promise)
    return directory
  }
  return { machine, engine, power, late, watch, active }
}

const key = "trigger/default/t"
const named = (trigger: string, incarnation = "") => ({ tenant: "default", trigger, incarnation, destination: "there" })

describe("the directory", () => {
  it("looks up what it has not heard of", async () => {
    const { machine, engine, late, watch } = await start()
    const directory = await watch(late)
    expect(await directory.trigger(named("t"))).toBeUndefined()
    await machine.run(engine.catalog.put(key, createTrigger("t", await engine.log.head())))
    await machine.run(engine.catalog.put("destination/default/d", createDestination("d")))
    expect(await directory.trigger(named("t"))).toMatchObject({ id: "t" })
    expect(await directory.destination("default/d")).toMatchObject({ id: "d" })
    expect(await directory.trigger({ ...named("t"), tenant: "another" })).toBeUndefined()
  })

  it("asks for the trigger that has taken another one's id, and takes neither for the other", async () => {
    const { machine, engine, power } = await start()
    const [old, made] = ["i1", "i2"].map((incarnation) => createTrigger("t", engine.log.oldest(), { incarnation }))
    const pause = { since: 0, reason: "a test" }
    await machine.run(engine.catalog.put(key, { ...old, paused: pause }))
    /** What has been heard of, which is behind. */
    const heard = await engine.catalog.get<Trigger>(key)
    const catalog: Catalog = {
      ...engine.catalog,
      get: async <T>(name: string, { newest = false } = {}) =>
        newest ? engine.catalog.get<T>(name) : (heard as Item<T>),
      async *watch<T>(prefix: string, stop: AbortSignal): AsyncGenerator<Change<T>> {
        if (prefix === "trigger/") yield { kind: "put", item: heard as Item<T> }
        yield { kind: "current" }
        await new Promise((resolve) => stop.addEventListener("abort", resolve))
      },
    }
    const directory = new Directory({
      catalog,
      clock: power.clock,
      listener: { active: () => {}, destination: () => {} },
    })
    const current = Promise.withResolvers<void>()
    void directory.watch(new AbortController().signal, current.resolve)
    await machine.run(current.promise)
    await machine.run(engine.catalog.put(key, made))
    expect(await directory.trigger(named("t", "i2"))).toEqual(made)
    expect(await directory.trigger(named("t", "i3"))).toBeUndefined()
    expect(directory.isPaused(named("t", "i1"))).toBe(true)
    expect(directory.isPaused(named("t", "i2"))).toBe(false)
  })

  it("does not pause a trigger because of what was owed to one that had its id before", async () => {
    const { machine, engine, watch } = await start()
    await machine.run(engine.catalog.put(key, createTrigger("t", await engine.log.head(), { incarnation: "i2" })))
    const directory = await watch(engine.catalog)
    await machine.run(directory.pause(named("t", "i1"), "gone"))
    expect((await engine.catalog.get<Trigger>(key))!.value.paused).toBeUndefined()
    expect(directory.isPaused(named("t", "i2"))).toBe(false)
  })

  it("does not pause a trigger that sends elsewhere, whatever has come by here of that", async () => {
    const { machine, engine, watch } = await start()
    const trigger = createTrigger("t", await engine.log.head())
    await machine.run(engine.catalog.put(key, trigger))
    const directory = await watch(engine.catalog)
    const moving = engine.catalog.put(key, { ...trigger, destination: "elsewhere" })
    const pausing = directory.pause(named("t"), "gone")
    expect(directory.isPaused(named("t"))).toBe(true)
    await machine.run(moving)
    expect(await machine.run(pausing)).toBe(false)
    expect((await engine.catalog.get<Trigger>(key))!.value.paused).toBeUndefined()
    expect(directory.isPaused(named("t"))).toBe(false)
  })

  it("pauses over another change of the trigger, and keeps that", async () => {
    const { machine, engine, watch } = await start()
    const trigger = createTrigger("t", await engine.log.head())
    await machine.run(engine.catalog.put(key, trigger))
    const directory = await watch(engine.catalog)
    const changing = engine.catalog.put(key, { ...trigger, description: "changed" })
    const pausing = directory.pause(named("t"), "gone")
    expect(directory.isPaused(named("t"))).toBe(true)
    await machine.run(Promise.all([changing, pausing]))
    const item = await engine.catalog.get<Trigger>(key)
    expect(item!.value).toMatchObject({ description: "changed", paused: { reason: "gone" } })
  })

  it("does not hold what was owed to a trigger that is gone, or whose id another one has", async () => {
    const { machine, engine, power, watch } = await start()
    const paused = { since: 0, reason: "a test" }
    await machine.run(engine.catalog.put(key, createTrigger("t", engine.log.oldest(), { incarnation: "i2", paused })))
    const directory = await watch(engine.catalog)
    const hub = { engine, directory, gate: new Gate(engine.queue, power.clock, createMemoryLog()) } as unknown as Hub
    const cursor = await engine.log.head()
    for (const trigger of ["t", "gone"]) {
      const of = { ...named(trigger, "i1"), destination: "d", cursor, fingerprint: 0 }
      const delivery = { ...of, id: `${cursor}.${trigger}.i1` }
      await machine.run(engine.queue.enqueue([delivery]))
      const [lease] = await engine.queue.lease({ lane: "default/d", max: 1, leaseMs: 100_000 })
      await machine.run(hold(lease!, hub))
      expect(await engine.queue.open(delivery)).toMatchObject({ state: "due" })
      await engine.queue.lease({ lane: "default/d", max: 1, leaseMs: 100_000 })
    }
  })

  it("gives a pause up where others are always first, and what it held goes on", async () => {
    const { machine, engine, power, active } = await start()
    const conflicting: Catalog = {
      ...engine.catalog,
      get: (name) => engine.catalog.get(name),
      watch: (prefix, stop) => engine.catalog.watch(prefix, stop),
      put: (name) => Promise.reject(new ConflictError(name, 1, 2)),
    }
    await machine.run(engine.catalog.put(key, createTrigger("t", await engine.log.head())))
    const listener = { active: ({ id }: Trigger) => active.push(id), destination: () => {} }
    const directory = new Directory({ catalog: conflicting, clock: power.clock, listener })
    const current = Promise.withResolvers<void>()
    void directory.watch(new AbortController().signal, current.resolve)
    await machine.run(current.promise)
    active.length = 0
    const pausing = directory.pause(named("t"), "gone")
    expect(directory.isPaused(named("t"))).toBe(true)
    await expect(machine.run(pausing)).rejects.toThrow(OverloadError)
    expect([directory.isPaused(named("t")), active]).toEqual([false, ["t"]])
  })

  it("does not hold for ever what was resumed meanwhile", async () => {
    const { machine, engine, power, watch } = await start()
    await machine.run(engine.catalog.put(key, createTrigger("t", await engine.log.head())))
    const directory = await watch(engine.catalog)
    const cursor = await engine.log.head()
    const delivery = {
      id: `${cursor}.t`,
      tenant: "default",
      trigger: "t",
      incarnation: "",
      destination: "d",
      cursor,
      fingerprint: 0,
    }
    await machine.run(engine.queue.enqueue([delivery]))
    const [lease] = await engine.queue.lease({ lane: "default/d", max: 1, leaseMs: 1_000 })
    const hub = { engine, directory, gate: new Gate(engine.queue, power.clock, createMemoryLog()) } as unknown as Hub
    await machine.run(hold(lease!, hub))
    expect(await engine.queue.open(delivery)).toMatchObject({ state: "due" })
  })
})
