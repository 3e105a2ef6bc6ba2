import { expect, test } from "vitest"
import { Serial } from "../core/serial.ts"
import { createSimulatedMachine } from "../testing/simulated-machine.ts"
import { scheduleType } from "./schedules.ts"
import { createResourceStore } from "./store.ts"

const schedule = { topic: "orders", event: { type: "t" }, interval: "1m" }

/** As many processes as are asked for, on one catalog where a tenant may have 20 schedules. */
async function start() {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const process = () => {
    const context = {
      ...{ engine, clock: power.clock, chance: machine.chance, kinds: new Map(), startedAt: 0, changes: new Serial() },
      topics: { autoCreate: true, dedupeWindowMs: 0 },
    }
    return createResourceStore(context, { ...scheduleType(context), countMax: 20 })
  }
  return { machine, process }
}

const refusal = { kind: "conflict", message: "there are 20 schedules, which is the most; delete some first" }

test("a tenant may have so many and no more; what is there may be changed, and a deletion makes room", async () => {
  const { machine, process } = await start()
  const store = process()
  const create = (id: string, tenant = "default") =>
    machine.run(store.create(tenant, { id, ...schedule }, {}).catch((error: unknown) => error))
  for (let i = 0; i < 20; i++) expect(await create(`s${i}`)).toMatchObject({ isNew: true })
  expect(await create("more")).toMatchObject(refusal)
  const replace = (id: string) =>
    machine.run(store.replace("default", id, schedule, { validateOnly: true }).catch((error: unknown) => error))
  expect(await replace("more")).toMatchObject(refusal)
  expect(await replace("s1")).not.toBeInstanceOf(Error)
  expect(await create("more", "other")).toMatchObject({ isNew: true })
  await machine.run(store.remove("default", "s3", {}))
  expect(await create("more")).toMatchObject({ isNew: true })
  expect(await create("another")).toMatchObject(refusal)
})

test("what another process makes counts too", async () => {
  const { machine, process } = await start()
  const stores = [process(), process()]
  const made: unknown[] = []
  for (let i = 0; i < 24; i++) {
    const one = stores[i % 2]!.create("default", { id: `s${i}`, ...schedule }, {})
    made.push(await machine.run(one.catch((error: unknown) => error)))
  }
  expect(made.filter((one) => !(one instanceof Error))).toHaveLength(20)
})
