import { expect, test } from "vitest"
import { sleep } from "../core/clock.ts"
import { createSimulatedClock, mortalClock, runUntil } from "./clock.ts"

test("timers run at their own time, those of one time in the order they were set", async () => {
  const clock = createSimulatedClock(1_000)
  const ran: string[] = []
  const note = (name: string) => () => void ran.push(`${name}@${clock.now()}`)
  clock.after(20, note("c"))
  clock.after(10, note("a"))
  clock.after(10, note("b"))
  clock.after(30, note("late"))
  await clock.advance(20)
  expect(ran).toEqual(["a@1010", "b@1010", "c@1020"])
  expect(clock.now()).toBe(1_020)
  expect(clock.waiting).toBe(1)
})

test("what a timer sets going happens before the next timer runs", async () => {
  const clock = createSimulatedClock()
  const ran: string[] = []
  const loop = async () => {
    for (let i = 0; i < 3; i++) {
      await sleep(clock, 10)
      ran.push(`loop@${clock.now()}`)
    }
  }
  const done = loop()
  clock.after(15, () => ran.push(`other@${clock.now()}`))
  await clock.advance(30)
  await done
  expect(ran).toEqual(["loop@10", "other@15", "loop@20", "loop@30"])
})

test("a cancelled timer does not run, and is not waited for", async () => {
  const clock = createSimulatedClock()
  let ran = 0
  const cancel = clock.after(5, () => ran++)
  clock.after(6, () => ran++)
  cancel()
  cancel()
  expect(clock.waiting).toBe(1)
  expect(clock.nextAt()).toBe(6)
  await clock.advance(10)
  expect(ran).toBe(1)
})

test("after a jump, what was due runs late, in order, at the new time", async () => {
  const clock = createSimulatedClock()
  const ran: string[] = []
  clock.after(10, () => ran.push(`a@${clock.now()}`))
  clock.after(5, () => ran.push(`b@${clock.now()}`))
  clock.jump(100)
  await clock.advance(0)
  expect(ran).toEqual(["b@100", "a@100"])
})

test("a clock that is set tells another time, and its timers run as they would have", async () => {
  const clock = createSimulatedClock(1_000)
  const ran: string[] = []
  clock.after(10, () => ran.push(`a@${clock.now()} ${clock.steady()}`))
  clock.set(-500)
  expect([clock.now(), clock.steady(), clock.nextAt()]).toEqual([500, 1_000, 510])
  await clock.advance(10)
  expect(ran).toEqual(["a@510 1010"])
})

test("step moves to the next timer and says when there is none", () => {
  const clock = createSimulatedClock()
  let ran = 0
  clock.after(0.5, () => ran++)
  expect(clock.step()).toBe(true)
  expect(clock.step()).toBe(false)
  expect([ran, clock.now()]).toEqual([1, 0])
})

test("a stopped mortal clock runs nothing more", async () => {
  const clock = createSimulatedClock()
  const mortal = mortalClock(clock)
  const ran: number[] = []
  mortal.clock.after(1, () => ran.push(1))
  mortal.clock.after(3, () => ran.push(3))
  await clock.advance(2)
  mortal.stop()
  mortal.clock.after(1, () => ran.push(4))
  await clock.advance(10)
  expect(ran).toEqual([1])
  expect(clock.waiting).toBe(0)
})

test("many timers come out in order", async () => {
  const clock = createSimulatedClock()
  const times: number[] = []
  for (let i = 0; i < 500; i++) clock.after((i * 7919) % 503, () => times.push(clock.now()))
  while (clock.step());
  expect(times).toEqual(times.toSorted((a, b) => a - b))
  expect(times).toHaveLength(500)
})

test("runUntil moves on as far as the work needs, and says when it never ends", async () => {
  const clock = createSimulatedClock()
  clock.after(1_000, () => {})
  expect(
    await runUntil(
      clock,
      sleep(clock, 5).then(() => "over"),
    ),
  ).toBe("over")
  expect(clock.now()).toBe(5)
  await expect(runUntil(clock, new Promise(() => {}))).rejects.toThrow(/not over/)
})
