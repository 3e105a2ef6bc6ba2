import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { createSystemChance, systemClock } from "./clock.ts"

describe("systemClock.after", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test("runs once, when the time has passed", () => {
    const run = vi.fn()
    systemClock.after(1_000, run)
    vi.advanceTimersByTime(999)
    expect(run).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(10_000)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test("waits longer than setTimeout can", () => {
    const run = vi.fn()
    const longMs = 3 * 2 ** 31
    systemClock.after(longMs, run)
    vi.advanceTimersByTime(longMs - 1)
    expect(run).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test("is cancelled in its first and in a later step", () => {
    const run = vi.fn()
    systemClock.after(10, run)()
    const cancel = systemClock.after(2 ** 32, run)
    vi.advanceTimersByTime(2 ** 31 + 5)
    cancel()
    vi.advanceTimersByTime(2 ** 33)
    expect(run).toHaveBeenCalledTimes(0)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe("ids", () => {
  test("are 26 characters, all different, and sort by time", () => {
    let now = 1_700_000_000_000
    const chance = createSystemChance({ ...systemClock, now: () => now })
    const ids = Array.from({ length: 5_000 }, () => {
      now++
      return chance.id()
    })
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id))).toBe(true)
    expect(ids.toSorted()).toEqual(ids)
  })

  test("of one millisecond share their first 10 characters and nothing else", () => {
    const chance = createSystemChance({ ...systemClock, now: () => 2 ** 48 - 1 })
    const ids = Array.from({ length: 1_000 }, () => chance.id())
    expect(new Set(ids.map((id) => id.slice(0, 10)))).toEqual(new Set(["7ZZZZZZZZZ"]))
    expect(new Set(ids.map((id) => id.slice(10))).size).toBe(ids.length)
  })
})
