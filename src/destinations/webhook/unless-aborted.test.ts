import { getEventListeners } from "node:events"
import { expect, test } from "vitest"
import { unlessAborted } from "./unless-aborted.ts"

test("work that fails fails for who waits, and the signal is let go of", async () => {
  const { signal } = new AbortController()
  await expect(unlessAborted(Promise.reject(new RangeError("no header")), signal)).rejects.toThrow("no header")
  expect(getEventListeners(signal, "abort")).toEqual([])
})

test("work that fails after the signal is nobody's", async () => {
  const [stop, { promise, reject }] = [new AbortController(), Promise.withResolvers<number>()]
  const waiting = unlessAborted(promise, stop.signal)
  stop.abort()
  expect(await waiting).toBeUndefined()
  reject(new Error("too late"))
  await promise.catch(() => {})
})
