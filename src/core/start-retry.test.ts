import { expect, test } from "vitest"
import { createSimulatedClock, runUntil } from "../testing/clock.ts"
import type { Catalog } from "./catalog.ts"
import { ConflictError, OverloadError, StartRefusedError, UnavailableError } from "./errors.ts"
import { catalogAtStart, retryAtStart } from "./start-retry.ts"

test.each([new UnavailableError("no leader"), new OverloadError(1_000, "nothing is stored")])(
  "what nobody answers yet is asked again, with a rest in between: %s",
  async (error) => {
    const clock = createSimulatedClock(0)
    const at: number[] = []
    const work = () => {
      at.push(clock.now())
      return at.length < 3 ? Promise.reject(error) : Promise.resolve("there")
    }
    expect(await runUntil(clock, retryAtStart(clock, work))).toBe("there")
    expect(at).toEqual([0, 200, 400])
  },
)

test("after 20 s it is given up, and what is wrong otherwise is thrown on at once", async () => {
  const clock = createSimulatedClock(0)
  const away = new UnavailableError("no leader")
  await expect(
    runUntil(
      clock,
      retryAtStart(clock, () => Promise.reject(away)),
    ),
  ).rejects.toBe(away)
  expect(clock.now()).toBe(20_000)
  const conflict = new ConflictError("k", 0, 1)
  await expect(retryAtStart(clock, () => Promise.reject(conflict))).rejects.toBe(conflict)
})

test("a catalog that stays away refuses the start, with a next step", async () => {
  const clock = createSimulatedClock(0)
  const away = () => Promise.reject(new UnavailableError("NATS cannot read migration"))
  const catalog = catalogAtStart({ get: away, put: away } as unknown as Catalog, clock)
  const works: readonly (() => Promise<unknown>)[] = [() => catalog.get("migration"), () => catalog.put("migration", 1)]
  for (const work of works) {
    const error = await runUntil(clock, work()).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(StartRefusedError)
    const { message, next } = error as StartRefusedError
    expect(message).toContain("NATS cannot read migration")
    expect(next.join()).toContain("start again")
  }
})
