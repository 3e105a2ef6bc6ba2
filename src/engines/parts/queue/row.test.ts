import { describe, expect, it } from "vitest"
import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId } from "../../../core/delivery.ts"
import { decodeRow, encodeRow } from "./row.ts"

const cursor = "000000002bc" as Cursor
const lane = "acme/d1"
const state = {
  attempts: 3,
  forgiven: 1,
  firstDueAt: 1_700_000_000_000,
  dueAt: 1_700_000_000_500,
  held: false,
  behind: false,
}

function delivery(rest: Partial<Delivery>): Delivery {
  const { trigger = "t-1", incarnation = "i1" } = rest
  const id = deliveryId(cursor, trigger, incarnation)
  return { id, tenant: "acme", trigger, incarnation, destination: "d1", cursor, fingerprint: 0xfedcba98, ...rest }
}

describe("a row", () => {
  it.each([
    ["names follow from its id", delivery({})],
    ["trigger has no incarnation", delivery({ incarnation: "" })],
    ["trigger's name has dots", delivery({ trigger: "a.b" })],
    ["trigger's name has dots, and no incarnation", delivery({ trigger: "a.b", incarnation: "" })],
    ["incarnation has dots", delivery({ incarnation: "i.1" })],
    ["deliveries are in an order", delivery({ orderKey: "customer~7" })],
    ["names do not follow and deliveries are in an order", delivery({ incarnation: "i.1", orderKey: "k".repeat(64) })],
    ["deliveries are replayed", delivery({ id: `${cursor}.t-1.i1.rp-7`, replay: "rp-7", orderKey: "k" })],
    ["id says something else", delivery({ id: `${cursor}.t-1.00000000abc` })],
  ])("is what was put, where the %s", (_, one) => {
    expect(decodeRow(lane, one.id, encodeRow(one, state))).toEqual({ delivery: one, state })
    const held = { ...state, held: true }
    expect(decodeRow(lane, one.id, encodeRow(one, held))).toEqual({ delivery: one, state: held })
    const behind = { ...state, behind: true }
    expect(decodeRow(lane, one.id, encodeRow(one, behind))).toEqual({ delivery: one, state: behind })
    const kept = { ...state, kept: 2 ** 53 - 1 }
    expect(decodeRow(lane, one.id, encodeRow(one, kept))).toEqual({ delivery: one, state: kept })
  })

  it("of 30 bytes holds all that its key does not", () => {
    expect(encodeRow(delivery({}), state)).toHaveLength(30)
  })

  it("is read as it was written before incarnations and fingerprints", () => {
    const head = "00" + "0000805c87bc7842" + "00d0835c87bc7842" + "03000000" + "01000000" + "00"
    const known = { tenant: "acme", incarnation: "", destination: "d1", cursor, fingerprint: 0 }
    const id = `${cursor}.t-1`
    expect(decodeRow(lane, id, Buffer.from(head, "hex")).delivery).toEqual({ ...known, id, trigger: "t-1" })
    const names = Buffer.from(JSON.stringify([cursor, "t-1"]))
    const marked = `${cursor}.t-1.00000000abc`
    const bytes = Buffer.concat([Buffer.from(`02${head.slice(2)}`, "hex"), names])
    expect(decodeRow(lane, marked, bytes)).toMatchObject({
      delivery: { ...known, id: marked, trigger: "t-1" },
      state: { attempts: 3, forgiven: 1 },
    })
  })
})
