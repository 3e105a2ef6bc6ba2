import { expect, it } from "vitest"
import { deliveryId } from "../core/delivery.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"
import { createEvent, ordersAddress } from "../testing/samples.ts"

const patient = { delaysMs: [1_000], jitter: 0, attemptsMax: 1_000, ageMaxMs: 86_400_000 }

/** A hub that owes one event to `a`, with such an expiry. */
async function owing(expirytime: (now: number) => string) {
  const hub = await Delivering.start()
  await hub.connect("a", () => failed, { retry: patient })
  const event = createEvent("e", { expirytime: expirytime(hub.power.clock.now()) })
  const [stored] = await hub.machine.run(hub.engine.log.append(ordersAddress, [event]))
  await hub.oweAt([stored!.cursor], "a")
  return { hub, id: deliveryId(stored!.cursor, "a", "") }
}

const at = (ms: number) => new Date(ms).toISOString()

it("an event that has expired is not sent: it becomes a dead letter that says so", async () => {
  const { hub, id } = await owing((now) => at(now - 1))
  await hub.empty("a")
  expect(hub.sentTo("a")).toBe(0)
  const [letter] = await hub.letters()
  expect(letter).toMatchObject({ id, reason: "expired", attempts: 0, address: ordersAddress })
  expect(letter!.lastOutcome.detail).toMatch(/^the event expired at \d{4}-.*Z, by its expirytime$/)
})

it("an event is tried until it expires, and not after that", async () => {
  const { hub } = await owing((now) => at(now + 5_500))
  await hub.empty("a")
  expect(await hub.letters()).toMatchObject([{ reason: "expired", attempts: hub.sentTo("a") }])
  expect(hub.sentTo("a")).toBe(6)
})

it.each(["soon", "2026-02-30T00:00:00Z", ""])("an expiry of %j is none", async (text) => {
  const { hub } = await owing(() => text)
  hub.behaviours.set("a", () => ok)
  await hub.empty("a")
  expect(await hub.letters()).toEqual([])
  expect(hub.sentTo("a")).toBeGreaterThan(0)
})
