import { describe, expect, it } from "vitest"
import { attemptsTopic } from "./address.ts"
import type { Attributes } from "./event.ts"
import { Event } from "./event.ts"
import { fingerprintOf } from "./fingerprint.ts"

const address = { tenant: "acme", topic: "orders", key: "7" }
const attributes: Attributes = { specversion: "1.0", id: "1", source: "/s", type: "t" }
const of = (where: Partial<typeof address> = {}, what: Partial<Attributes> = {}) =>
  fingerprintOf({ address: { ...address, ...where }, event: Event.of({ ...attributes, ...what } as Attributes) })

describe("an event's fingerprint", () => {
  it("is the same for ever: deliveries hold it", () => {
    expect(of()).toBe(2_476_559_018)
    expect(fingerprintOf({ address: { tenant: "acme", topic: "orders" }, event: Event.of(attributes) })).toBe(
      605_173_943,
    )
  })

  it("is another for another event", () => {
    const names = [{ tenant: "a" }, { topic: "o" }, { key: "8" }].map((where) => of(where))
    const said = [{ id: "2" }, { source: "/t" }, { type: "u" }].map((what) => of({}, what))
    const run = [of({}, { source: "/s1", id: "" }), of({}, { source: "/", id: "s1" })]
    expect(new Set([of(), ...names, ...said, ...run]).size).toBe(9)
  })

  it("of the hub's own records stays what it is where cursors change", () => {
    const record = (cursor: string, rest: string) =>
      of({ topic: attemptsTopic, key: cursor }, { id: `${cursor}.t1.i1${rest}`, source: "/redcar/triggers/t1" })
    const here = record("00000000001", ".1.kx1")
    expect(record("00000000abc", ".1.kx1")).toBe(here)
    expect(record("00000000000", ".00000000001.1.kx1")).toBe(here)
    expect(record("00000000001", ".1.kx2")).not.toBe(here)
  })
})
