import { expect, test } from "vitest"
import { createSimulatedChance } from "../../../testing/chance.ts"
import { createSimulatedClock, runUntil } from "../../../testing/clock.ts"
import { createSimulatedDisk } from "../../../testing/disk.ts"
import { createPower } from "../../../testing/power.ts"
import { readChain } from "./chain.ts"
import { Segments } from "./segments.ts"

test("a place that no segment can hold any more is refused, and no segments are made for it", async () => {
  const clock = createSimulatedClock()
  const simulated = createSimulatedDisk({ chance: createSimulatedChance("segments"), latencyMs: () => 0.1 })
  const disk = simulated.mount(createPower({ clock }))
  const options = { segmentBytes: 16 << 10, reserveBytes: 0 }
  const run = <T>(work: Promise<T>) => runUntil(clock, work)
  const chain = await run(readChain(disk, options.segmentBytes, undefined))
  const segments = await run(Segments.open(disk, options, chain, () => ({ id: "01", salt: 1 })))
  segments.skipTo(1_000)
  await expect(run(segments.forWriting(8, false))).rejects.toBeInstanceOf(RangeError)
  expect(segments.list).toEqual([])
  const { segment } = await run(segments.forWriting(1_000, false))
  expect(segment.base).toBe(1_000)
})
