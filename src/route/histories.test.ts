import { describe, expect, it } from "vitest"
import type { Catalog } from "../core/catalog.ts"
import { routedAsKeys } from "../core/catalog-keys.ts"
import type { Cursor } from "../core/cursor.ts"
import { deliveryId } from "../core/delivery.ts"
import type { Engine } from "../core/engine.ts"
import { ConflictError } from "../core/errors.ts"
import type { Filter, Trigger } from "../core/resources.ts"
import { type RoutedAs, type RoutedVersion, versionFor } from "../core/routing.ts"
import { Troubles } from "../core/troubles.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import type { Power } from "../testing/power.ts"
import { createEvent, createTrigger, ordersAddress } from "../testing/samples.ts"
import { createSimulatedMachine, type SimulatedMachine } from "../testing/simulated-machine.ts"
import { Histories } from "./histories.ts"
import { StoppedError } from "./persist.ts"
import { type Router, startRouter } from "./router.ts"

const only = (type: string): Filter[] => [{ exact: { type } }]

/** A hub that only routes one trigger, `t`. */
class Hub {
  readonly machine: SimulatedMachine = createSimulatedMachine()
  engine!: Engine
  power!: Power
  router!: Router
  #events = 0

  static async start(): Promise<Hub> {
    const hub = new Hub()
    await hub.boot()
    return hub
  }

  async boot(): Promise<void> {
    const { power, engine } = await this.machine.boot()
    this.power = power
    this.engine = engine
    // So small that a past of a few events takes many steps.
    const limits = { catchUpBatchMax: 1, catchUpBatchesMax: 1 }
    this.router = startRouter({ engine, clock: power.clock, log: createMemoryLog(), limits })
    this.router.done.catch(() => {})
  }

  async publish(type: string): Promise<Cursor> {
    const event = createEvent(`e${this.#events++}`, { type })
    const [appended] = await this.machine.run(this.engine.log.append(ordersAddress, [event]))
    return appended!.cursor
  }

  async put(trigger: Trigger): Promise<void> {
    await this.machine.run(this.engine.catalog.put("trigger/default/t", trigger))
  }

  async delete(): Promise<void> {
    await this.machine.run(this.engine.catalog.delete("trigger/default/t"))
  }

  async settle(): Promise<void> {
    await this.machine.clock.advance(3_000)
    await this.machine.until(() => this.router.catching() === 0)
    await this.machine.clock.advance(3_000)
  }

  async kept(): Promise<RoutedAs | undefined> {
    return (await this.engine.catalog.get<RoutedAs>(routedAsKeys.of({ tenant: "default", id: "t" })))?.value
  }

  async version(cursor: Cursor): Promise<RoutedVersion | undefined> {
    const { log } = this.engine
    return versionFor((await this.kept())?.versions ?? [], cursor, (a, b) => log.compare(a, b))
  }

  async isOwed(cursor: Cursor): Promise<boolean> {
    const { id, tenant, destination } = createTrigger("t", cursor)
    const of = { tenant, trigger: id, incarnation: "", destination, cursor, fingerprint: 0 }
    const delivery = { ...of, id: deliveryId(cursor, id, "") }
    return (await this.engine.queue.open(delivery)) !== undefined
  }

  /** Takes so many steps of time, then dies and begins anew. */
  async crashAfter(steps: number): Promise<void> {
    for (let n = 0; n < steps; n++) {
      this.machine.clock.step()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.power.cut()
    await this.boot()
  }
}

describe("how a trigger was", () => {
  it("is kept from its start, and at each change of what it judges by", async () => {
    const hub = await Hub.start()
    const start = await hub.engine.log.head()
    const trigger = createTrigger("t", start, { filters: only("a") })
    await hub.put(trigger)
    const first = await hub.publish("a")
    await hub.settle()
    await hub.put({ ...trigger, updatedAt: trigger.updatedAt + 1, labels: { team: "x" } })
    await hub.settle()
    const second = await hub.publish("b")
    await hub.settle()
    const changed = { ...trigger, filters: only("b"), destination: "elsewhere", updatedAt: trigger.updatedAt + 2 }
    await hub.put(changed)
    await hub.settle()
    const third = await hub.publish("b")
    await hub.settle()
    expect((await hub.kept())?.versions).toHaveLength(2)
    expect(await hub.version(first)).toMatchObject({ filters: only("a"), destination: "there" })
    expect(await hub.version(second)).toMatchObject({ filters: only("a"), updatedAt: trigger.updatedAt })
    expect(await hub.version(third)).toMatchObject({ filters: only("b"), destination: "elsewhere" })
    expect(await hub.version(start)).toBeUndefined()
  })

  it("is replaced where it has judged nothing, as while the trigger is paused", async () => {
    const hub = await Hub.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    await hub.put(trigger)
    const before = await hub.publish("a")
    await hub.settle()
    for (const type of ["b", "c", "a"]) {
      await hub.put({ ...trigger, paused: { since: 0, reason: "a test" }, filters: only(type) })
      await hub.settle()
    }
    const during = await hub.publish("a")
    await hub.put({ ...trigger, filters: only("a") })
    await hub.settle()
    expect((await hub.kept())?.versions).toHaveLength(2)
    expect(await hub.version(before)).toMatchObject({ filters: [] })
    expect(await hub.version(during)).toMatchObject({ filters: only("a") })
    expect(await hub.isOwed(during)).toBe(true)
  })

  it("has an end where the trigger was deleted, also while nobody looked; a trigger made anew begins another", async () => {
    const hub = await Hub.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    await hub.put(trigger)
    const judged = await hub.publish("a")
    await hub.settle()
    await hub.delete()
    await hub.settle()
    const between = await hub.publish("a")
    await hub.settle()
    expect(await hub.kept()).toMatchObject({ removedAt: expect.any(Number), versions: [{ until: expect.any(String) }] })
    const again = { ...trigger, createdAt: hub.machine.clock.now(), from: await hub.engine.log.head() }
    await hub.put(again)
    const late = await hub.publish("a")
    await hub.settle()
    expect(await hub.kept()).not.toHaveProperty("removedAt")
    expect([await hub.version(judged), await hub.version(between), await hub.version(late)]).toEqual([
      expect.objectContaining({ after: trigger.from }),
      undefined,
      expect.objectContaining({ after: again.from }),
    ])
    await hub.machine.run(hub.router.stop())
    await hub.delete()
    await hub.machine.run(hub.engine.close())
    await hub.boot()
    await hub.settle()
    const afterIts = await hub.publish("a")
    expect(await hub.version(late)).toMatchObject({ after: again.from, until: expect.any(String) })
    expect(await hub.version(afterIts)).toBeUndefined()
    await hub.machine.run(hub.router.stop())
    await hub.put({ ...again, createdAt: again.createdAt + 1, from: hub.engine.log.oldest() })
    await hub.machine.run(hub.engine.close())
    await hub.boot()
    await hub.settle()
    expect(await hub.version(judged)).toMatchObject({ after: hub.engine.log.oldest() })
  })

  it("is forgotten a week after the trigger is gone", async () => {
    const hub = await Hub.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    await hub.put(trigger)
    await hub.settle()
    await hub.delete()
    await hub.settle()
    await hub.machine.run(hub.router.stop())
    await hub.machine.run(hub.engine.close())
    await hub.machine.clock.advance(6 * 86_400_000)
    await hub.boot()
    await hub.settle()
    expect(await hub.kept()).toBeDefined()
    await hub.machine.run(hub.router.stop())
    await hub.machine.run(hub.engine.close())
    await hub.machine.clock.advance(86_400_000)
    await hub.boot()
    await hub.settle()
    expect(await hub.kept()).toBeUndefined()
  })

  it("keeps the newest of very many versions, and says that there were more", async () => {
    const hub = await Hub.start()
    const trigger = createTrigger("t", await hub.engine.log.head())
    const cursors: Cursor[] = []
    for (let n = 0; n < 40; n++) {
      await hub.put({ ...trigger, filters: only(`n${n}`), updatedAt: trigger.updatedAt + n })
      await hub.settle()
      cursors.push(await hub.publish(`n${n}`))
      await hub.settle()
    }
    const kept = await hub.kept()
    expect([kept?.versions.length, kept?.shortened]).toEqual([32, true])
    expect(await hub.version(cursors[39]!)).toMatchObject({ filters: only("n39") })
    expect(await hub.version(cursors[8]!)).toMatchObject({ filters: only("n8") })
    expect(await hub.version(cursors[7]!)).toBeUndefined()
  })

  // What is passed over without a match is no write of its own, so a change has to make it one before it is kept.
  it("is right whenever a crash comes after a change", async () => {
    for (let steps = 0; steps < 40; steps++) {
      const hub = await Hub.start()
      const trigger = createTrigger("t", await hub.engine.log.head(), { filters: only("a") })
      await hub.put(trigger)
      await hub.settle()
      const passed = [await hub.publish("b"), await hub.publish("b")]
      // Less than it takes until the position is saved by itself.
      await hub.machine.clock.advance(100)
      await hub.put({ ...trigger, filters: only("b") })
      await hub.crashAfter(steps)
      await hub.settle()
      await expectRight(hub, passed)
    }
  })

  it("is right whenever a crash comes after a change amid a trigger's past", async () => {
    for (let steps = 0; steps < 40; steps++) {
      const hub = await Hub.start()
      const past: Cursor[] = []
      for (let n = 0; n < 6; n++) past.push(await hub.publish("b"))
      await hub.settle()
      const trigger = createTrigger("t", hub.engine.log.oldest(), { filters: only("a") })
      const put = (change: Partial<Trigger>) => hub.engine.catalog.put("trigger/default/t", { ...trigger, ...change })
      // The second is there when the router has only just begun to read for the first.
      await hub.machine.run(put({}).then(() => put({ filters: only("b") })))
      await hub.crashAfter(steps)
      await hub.settle()
      await expectRight(hub, past)
    }
  })
})

async function expectRight(hub: Hub, cursors: readonly Cursor[]): Promise<void> {
  for (const cursor of cursors) {
    const version = await hub.version(cursor)
    expect(await hub.isOwed(cursor)).toBe(version !== undefined && isB(version))
  }
}

function isB({ filters }: RoutedVersion): boolean {
  return JSON.stringify(filters) === JSON.stringify(only("b"))
}

describe("keeping a version that others are always before", () => {
  it("rests between tries, says so, and ends when the router stops", async () => {
    const clock = createSimulatedClock(0)
    const stop = new AbortController()
    const log = createMemoryLog()
    let tries = 0
    const catalog = {
      get: async () => undefined,
      put: async (key: string) => {
        tries++
        throw new ConflictError(key, 0, tries)
      },
    } as unknown as Catalog
    const histories = new Histories({
      catalog,
      partition: 0,
      retrying: { clock, log, troubles: new Troubles(log), stop: stop.signal },
    })
    const keeping = expect(histories.keep(createTrigger("t", "a" as Cursor), "a" as Cursor)).rejects.toThrow(
      StoppedError,
    )
    for (let ms = 0; ms < 10_000; ms += 100) await clock.advance(100)
    expect(tries).toBeGreaterThan(10)
    expect(tries).toBeLessThan(60)
    expect(JSON.stringify(log)).toContain("tried again")
    stop.abort()
    await keeping
  })
})
