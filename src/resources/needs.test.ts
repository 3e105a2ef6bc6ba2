import { describe, expect, it } from "vitest"
import type { Catalog } from "../core/catalog.ts"
import { destinationDeletionKeys, destinationKeys, topicKeys, triggerKeys } from "../core/catalog-keys.ts"
import type { Engine } from "../core/engine.ts"
import type { Trigger } from "../core/resources.ts"
import { Serial } from "../core/serial.ts"
import { destinationKinds } from "../destinations/index.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"
import { destinationType } from "./destinations.ts"
import { RefusedError } from "./refusal.ts"
import { createResourceStore } from "./store.ts"
import { topicType } from "./topics.ts"
import { triggerType } from "./triggers.ts"

const tenant = "default"
const destination = { id: "shop", kind: "topic", config: { topic: "copies" } }
const trigger = { id: "ship", topic: "orders", destination: "shop" }

/** Two processes on one catalog: what each does takes turns in itself alone. */
async function start() {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const process = (catalog: Catalog = engine.catalog) => {
    const own: Engine = { ...engine, catalog }
    const guard = { allowLoopback: true, allowPrivate: false, allow: [] }
    const context = {
      engine: own,
      clock: power.clock,
      chance: machine.chance,
      kinds: destinationKinds({ clock: power.clock, guard }),
      topics: { autoCreate: false, dedupeWindowMs: 1_000 },
      startedAt: 0,
      changes: new Serial(),
    }
    return {
      topics: createResourceStore(context, topicType(context)),
      triggers: createResourceStore(context, triggerType(context)),
      destinations: createResourceStore(context, destinationType(context)),
    }
  }
  await machine.run(process().topics.create(tenant, { id: "orders" }, {}))
  await machine.run(process().destinations.create(tenant, destination, {}))
  return { machine, engine, process }
}

/** A catalog that waits before its next change of several keys, as a process that is slow. */
function slow(catalog: Catalog) {
  const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const slowed: Catalog = {
    get: (key, options) => catalog.get(key, options),
    list: (prefix, options) => catalog.list(prefix, options),
    put: (key, value, expected) => catalog.put(key, value, expected),
    delete: (key, expected) => catalog.delete(key, expected),
    watch: (prefix, stop) => catalog.watch(prefix, stop),
    async change(writes, conditions) {
      reached.resolve()
      await goOn.promise
      return catalog.change(writes, conditions)
    },
  }
  return { catalog: slowed, reached: reached.promise, goOn: goOn.resolve }
}

const refusal = (of: Promise<unknown>) =>
  of.then(
    () => undefined,
    (error: unknown) => (error instanceof RefusedError ? `${error.kind}: ${error.message}` : error),
  )

describe("what one process deletes while another one begins to use it", () => {
  it("stays where the use came before the deletion was decided", async () => {
    const { machine, engine, process } = await start()
    const late = slow(engine.catalog)
    const deleted = refusal(process(late.catalog).destinations.remove(tenant, "shop", {}))
    await machine.run(late.reached)
    await machine.run(process().triggers.create(tenant, trigger, {}))
    late.goOn()
    expect(await machine.run(deleted)).toMatch(/^conflict: destination shop is used by trigger ship;/)
    expect(await engine.catalog.get(destinationKeys.of({ tenant, id: "shop" }))).toBeDefined()
    expect(await engine.catalog.get(destinationDeletionKeys.of({ tenant, id: "shop" }))).toBeUndefined()
  })

  it("is not used where the deletion came first", async () => {
    const { machine, engine, process } = await start()
    const late = slow(engine.catalog)
    const made = refusal(process(late.catalog).triggers.create(tenant, trigger, {}))
    await machine.run(late.reached)
    await machine.run(process().destinations.remove(tenant, "shop", {}))
    late.goOn()
    expect(await machine.run(made)).toMatch(/^invalid: destination there is no destination "shop"/)
    expect(await engine.catalog.list(triggerKeys.prefix, { limit: 1_000 })).toEqual([])
  })

  it("is waited for, and the trigger refused where it is gone then", async () => {
    const { machine, engine, process } = await start()
    const late = slow(engine.catalog)
    const deleted = process(late.catalog).topics.remove(tenant, "orders", {})
    await machine.run(late.reached)
    const made = refusal(process().triggers.create(tenant, trigger, {}))
    late.goOn()
    await machine.run(deleted)
    expect(await machine.run(made)).toBe("conflict: there is no topic orders; create it first")
    expect(await engine.catalog.list(triggerKeys.prefix, { limit: 1_000 })).toEqual([])
  })

  it("is used after a moment where the process that was about to delete it has died", async () => {
    const { machine, engine, process } = await start()
    const late = slow(engine.catalog)
    void process(late.catalog).destinations.remove(tenant, "shop", {})
    await machine.run(late.reached)
    await machine.run(process().triggers.create(tenant, trigger, {}))
    expect(await engine.catalog.get<Trigger>(triggerKeys.of({ tenant, id: "ship" }))).toBeDefined()
    expect(await engine.catalog.get(destinationDeletionKeys.of({ tenant, id: "shop" }))).toBeUndefined()
  })

  it("is never missing to a trigger, whoever is first", async () => {
    const { machine, engine, process } = await start()
    for (let n = 0; n < 30; n++) {
      const [one, two] = [process(), process()]
      await machine.run(
        Promise.all([
          refusal(two.triggers.create(tenant, trigger, {})),
          refusal(n % 2 === 0 ? one.destinations.remove(tenant, "shop", {}) : one.topics.remove(tenant, "orders", {})),
        ]),
      )
      const [isMade, hasTopic, hasDestination] = await Promise.all(
        [
          triggerKeys.of({ tenant, id: "ship" }),
          topicKeys.of({ tenant, id: "orders" }),
          destinationKeys.of({ tenant, id: "shop" }),
        ].map(async (key) => (await engine.catalog.get(key)) !== undefined),
      )
      if (isMade) expect([hasTopic, hasDestination]).toEqual([true, true])
      if (isMade) await machine.run(one.triggers.remove(tenant, "ship", {}))
      if (!hasTopic) await machine.run(one.topics.create(tenant, { id: "orders" }, {}))
      if (!hasDestination) await machine.run(one.destinations.create(tenant, destination, {}))
    }
  })
})
