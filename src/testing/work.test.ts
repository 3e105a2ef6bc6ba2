import { expect, test } from "vitest"
import { createSimulatedChance } from "./chance.ts"
import { createSimulatedClock, quiesce } from "./clock.ts"
import { createPower } from "./power.ts"
import { createSimulatedStore } from "./store.ts"
import { createWorkMeter, EndlessWorkError } from "./work.ts"

test("a loop that only ever asks is broken, and told of", async () => {
  const told: EndlessWorkError[] = []
  const meter = createWorkMeter(1_000, (error) => told.push(error))
  const clock = createSimulatedClock(0, meter)
  const store = createSimulatedStore({ chance: createSimulatedChance(1), meter }).mount(createPower({ clock }))
  const spinOn = async (ask: () => unknown) => {
    // Ends: the meter breaks it.
    for (;;) await ask()
  }
  for (const ask of [() => clock.now(), () => store.get("meta", "a"), () => store.range("meta")]) {
    clock.after(1, () => {})
    clock.step()
    await expect(spinOn(ask)).rejects.toThrow(EndlessWorkError)
  }
  expect(told).toHaveLength(3)
  expect(told[0]!.stack).toContain("spinOn")
})

test("what has time between its questions may ask for ever", async () => {
  const clock = createSimulatedClock(
    0,
    createWorkMeter(10, () => {}),
  )
  for (let i = 0; i < 100; i++) {
    clock.after(1, () => {})
    clock.step()
    await quiesce()
    expect(clock.now()).toBe(i + 1)
  }
})
