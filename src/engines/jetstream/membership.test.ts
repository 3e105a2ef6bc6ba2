import { expect, test } from "vitest"
import { createSimulatedClock } from "../../testing/clock.ts"
import { createMemoryLog } from "../../testing/memory-log.ts"
import type { Bucket } from "./bucket.ts"
import { Membership, membershipTimes } from "./membership.ts"

const silent = { range: () => [], listen: () => () => {}, put: async () => 1 } as unknown as Bucket

test.each([
  { way: "back", ms: -3_600_000 },
  { way: "forward", ms: 3_600_000 },
])(
  "a process gives up what it has when nothing was confirmed for long, and no later or earlier where its clock is set $way",
  async ({ ms }) => {
    const clock = createSimulatedClock(1_700_000_000_000)
    const membership = new Membership({
      bucket: silent,
      clock,
      log: createMemoryLog(),
      id: "a",
      times: membershipTimes,
    })
    await membership.beat(["routing"])
    clock.set(ms)
    await clock.advance(membershipTimes.giveUpMs - 1)
    expect(membership.isAlive).toBe(true)
    await clock.advance(1)
    expect(membership.isAlive).toBe(false)
  },
)
