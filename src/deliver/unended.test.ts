import { expect, it } from "vitest"
import { Delivering, never, ok } from "../testing/delivering.ts"

// Attempts that were under way when their hub died.

const thrice = { delaysMs: [1_000], jitter: 0, attemptsMax: 3, ageMaxMs: 86_400_000 }

/** The hub dies while this attempt hangs. */
async function dieDuring(hub: Delivering, attempt: number): Promise<void> {
  await hub.machine.until(() => hub.sentTo("a") === attempt)
  await hub.machine.clock.advance(500)
  hub.power.cut()
}

it("each counts: after the last one nothing more is sent, and the dead letter says why", async () => {
  const hub = await Delivering.start()
  await hub.connect("a", (_, signal) => never(signal), { retry: thrice })
  await hub.owe(1, "a")
  for (let death = 1; death <= 3; death++) {
    await dieDuring(hub, death)
    await hub.boot()
  }
  await hub.empty("a")
  expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  expect(await hub.letters()).toMatchObject([
    { reason: "exhausted", attempts: 3, lastOutcome: { detail: "the hub died during its last attempt" } },
  ])
})

it("an attempt that ends after a death decides as ever", async () => {
  const hub = await Delivering.start()
  await hub.connect("a", (_, signal) => never(signal), { retry: thrice })
  await hub.owe(1, "a")
  await dieDuring(hub, 1)
  hub.behaviours.set("a", () => ok)
  await hub.boot()
  await hub.empty("a")
  expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 2])
  expect(await hub.letters()).toEqual([])
})

it("a stop that gives back what hangs counts nothing", async () => {
  const hub = await Delivering.start({ stopMs: 1_000 })
  await hub.connect("a", (_, signal) => never(signal), { retry: thrice })
  await hub.owe(1, "a")
  await hub.machine.until(() => hub.sentTo("a") > 0)
  await hub.machine.clock.advance(500)
  await hub.machine.run(hub.worker.stop())
  hub.power.cut()
  hub.behaviours.set("a", () => ok)
  await hub.boot()
  await hub.empty("a")
  expect(hub.sent.map(({ attempt }) => attempt)).toEqual([1, 1])
})
