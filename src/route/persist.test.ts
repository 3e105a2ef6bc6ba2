import { expect, it } from "vitest"
import { StorageError, StorageFullError } from "../core/errors.ts"
import { Troubles } from "../core/troubles.ts"
import { createSimulatedClock, quiesce, runUntil } from "../testing/clock.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { persist, StoppedError } from "./persist.ts"

it("tries what the engine refuses until it takes it, ever more slowly", async () => {
  const clock = createSimulatedClock()
  const errors = [new StorageFullError(), new StorageError(), new StorageFullError()]
  const log = createMemoryLog()
  const work = async () => {
    const error = errors.shift()
    if (error) throw error
    return "taken"
  }
  const retrying = { clock, log, troubles: new Troubles(log), stop: new AbortController().signal }
  expect(await runUntil(clock, persist(retrying, "a write", work))).toBe("taken")
  expect(clock.now()).toBe(100 + 200 + 400)
  expect(log.lines).toEqual([expect.stringMatching(/^warn: a write failed; it is tried again until it works/)])
})

it("throws what is a bug at once", async () => {
  const clock = createSimulatedClock()
  const retrying = {
    clock,
    log: createMemoryLog(),
    troubles: new Troubles(createMemoryLog()),
    stop: new AbortController().signal,
  }
  const work = () => Promise.reject(new TypeError("a bug"))
  await expect(persist(retrying, "a write", work)).rejects.toThrow(TypeError)
})

it("gives up when it is to stop", async () => {
  const clock = createSimulatedClock()
  const stop = new AbortController()
  const retrying = { clock, log: createMemoryLog(), troubles: new Troubles(createMemoryLog()), stop: stop.signal }
  const trying = persist(retrying, "a write", () => Promise.reject(new StorageFullError()))
  const given = expect(trying).rejects.toThrow(StoppedError)
  await quiesce()
  stop.abort()
  await given
})
