import { describe, expect, it } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import type { Deliveries, Lease } from "../core/deliveries.ts"
import { ClosedError, LeaseLostError, StorageFullError } from "../core/errors.ts"
import { createSimulatedClock, runUntil } from "../testing/clock.ts"
import { createMemoryLog } from "../testing/memory-log.ts"
import { Gate } from "./hub.ts"

const names = { tenant: "default", trigger: "t", incarnation: "", destination: "d" }
const delivery = { ...names, id: "1.t", cursor: "1" as Cursor, fingerprint: 0 }
const lease: Lease = { delivery, attempt: 1, attemptsForgiven: 0, firstDueAt: 0, token: 1 }

function failing(...errors: Error[]): { readonly calls: () => number; readonly queue: Deliveries } {
  let calls = 0
  return {
    calls: () => calls,
    queue: {
      async end() {
        const error = errors[calls++]
        if (error) throw error
      },
    } as unknown as Deliveries,
  }
}

describe("ending a lease", () => {
  it("is tried until the engine takes it, and closes the gate meanwhile", async () => {
    const clock = createSimulatedClock()
    const { calls, queue } = failing(new StorageFullError(), new StorageFullError())
    const gate = new Gate(queue, clock, createMemoryLog())
    expect(await runUntil(clock, gate.end(lease, { kind: "done" }))).toBe(true)
    expect(calls()).toBe(3)
    expect(clock.now()).toBe(300)
    expect(gate.closedUntil).toBe(1_100)
  })

  it("is over where the lease is lost", async () => {
    const clock = createSimulatedClock()
    const { calls, queue } = failing(new LeaseLostError("1.t"), new LeaseLostError("1.t"))
    const gate = new Gate(queue, clock, createMemoryLog())
    expect(await runUntil(clock, gate.end(lease, { kind: "done" }))).toBe(false)
    expect(calls()).toBe(1)
    expect(gate.closedUntil).toBe(0)
  })

  it("is left alone once the engine is closed", async () => {
    const clock = createSimulatedClock()
    const { calls, queue } = failing(new ClosedError())
    const gate = new Gate(queue, clock, createMemoryLog())
    expect(await runUntil(clock, gate.end(lease, { kind: "done" }))).toBe(false)
    expect(await runUntil(clock, gate.end(lease, { kind: "done" }))).toBe(false)
    expect(calls()).toBe(1)
  })
})
