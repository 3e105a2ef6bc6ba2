import fc from "fast-check"
import { expect, test } from "vitest"
import { Ring } from "./ring.ts"

const room = 4_096

test("runs that follow one another are read together, up to where the memory begins anew", () => {
  const ring = new Ring(room)
  const put = (position: number, bytes: number, fill: number) => {
    const extent = ring.begin(position)
    const offset = ring.grow(extent, bytes)
    if (offset === undefined) return false
    ring.memory.fill(fill, offset, offset + bytes)
    ring.settle(extent)
    return true
  }
  for (let i = 0; i < 3; i++) put(i * 100, 100, i)
  expect(ring.copy(50, 1_000)).toEqual(Buffer.concat([Buffer.alloc(50, 0), Buffer.alloc(100, 1), Buffer.alloc(100, 2)]))
  expect(ring.copy(50, 120)).toEqual(Buffer.concat([Buffer.alloc(50, 0), Buffer.alloc(70, 1)]))
  // What lies elsewhere in the log is another run, also where it lies beside it in memory.
  put(1_000, 100, 9)
  expect(ring.copy(250, 1_000)).toEqual(Buffer.alloc(50, 2))
  expect(ring.copy(300, 1)).toBeUndefined()
})

test("whatever was written, a copy is what the log has there", () => {
  const log = Buffer.alloc(64 << 10)
  for (let i = 0; i < log.length; i++) log[i] = (i * 7 + (i >> 8)) & 0xff
  const steps = fc.array(fc.record({ bytes: fc.integer({ min: 8, max: 600 }), settles: fc.boolean() }), {
    maxLength: 60,
  })
  fc.assert(
    fc.property(steps, fc.nat(), fc.integer({ min: 1, max: 5_000 }), (all, at, bytes) => {
      const ring = new Ring(room)
      let end = 0
      const waiting: ReturnType<Ring["begin"]>[] = []
      for (const step of all) {
        if (!ring.hasRoom(step.bytes, 600)) for (const extent of waiting.splice(0)) ring.settle(extent)
        const extent = ring.begin(end)
        let offset = ring.grow(extent, step.bytes)
        if (offset === undefined) {
          ring.discard([extent])
          ring.wrap()
          const again = ring.begin(end)
          offset = ring.grow(again, step.bytes)!
          waiting.push(again)
        } else waiting.push(extent)
        log.copy(ring.memory, offset, end, end + step.bytes)
        end += step.bytes
        if (step.settles) for (const extent of waiting.splice(0)) ring.settle(extent)
      }
      const from = end === 0 ? 0 : at % end
      const copy = ring.copy(from, bytes)
      if (copy === undefined) return
      expect(copy.length).toBeGreaterThan(0)
      expect(copy.length).toBeLessThanOrEqual(bytes)
      expect(copy.equals(log.subarray(from, from + copy.length))).toBe(true)
    }),
  )
})
