import { expect, it } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import { createSimulatedClock } from "../testing/clock.ts"
import { createMemoryLog } from "../testing/rig.ts"
import { DamagedDeliveries } from "./damaged.ts"

function deliveryOf(trigger: string) {
  const cursor = "00000000010" as Cursor
  const names = { tenant: "default", trigger, incarnation: "", destination: trigger }
  return { ...names, id: `${cursor}.${trigger}`, cursor, fingerprint: 0 }
}

function start() {
  const clock = createSimulatedClock(0)
  const log = createMemoryLog()
  const damaged = new DamagedDeliveries(clock, log)
  const found = (trigger: string, count: number) => {
    for (let i = 0; i < count; i++) damaged.found(deliveryOf(trigger), "cannot be read")
  }
  const said = () => log.lines.splice(0)
  return { clock, damaged, found, said }
}

const first = "error: a delivery's event is damaged"

it("says of a trigger's damaged deliveries one line a minute, with their number", async () => {
  const { clock, found, said } = start()
  found("a", 3_000)
  found("b", 1)
  expect(said()).toEqual([first, first])
  await clock.advance(59_999)
  found("a", 1)
  expect(said()).toEqual([])
  await clock.advance(1)
  expect(said()).toEqual(["error: more deliveries of damaged events since: 3000"])
  found("a", 2)
  found("b", 1)
  expect(said()).toEqual([first])
  await clock.advance(60_000)
  expect(said()).toEqual(["error: more deliveries of damaged events since: 2"])
  await clock.advance(600_000)
  expect(said()).toEqual([])
})

it("keeps nothing to itself when it closes", async () => {
  const { clock, damaged, found, said } = start()
  found("a", 4)
  damaged.close()
  expect(said()).toEqual([first, "error: more deliveries of damaged events since: 3"])
  await clock.advance(600_000)
  expect(said()).toEqual([])
})
