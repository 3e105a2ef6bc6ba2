import { expect, it } from "vitest"
import { loadSettings } from "./load.ts"
import { parseTenants } from "./tenants.ts"

it("reads what each tenant is to have, and what those have that are not named", () => {
  expect(
    parseTenants(["acme weight=4 inFlightMax=50 ratePerSecond=1000", " shop  ratePerSecond=5", "* weight=2"]),
  ).toEqual(
    new Map([
      ["acme", { weight: 4, inFlightMax: 50, ratePerSecond: 1_000 }],
      ["shop", { weight: 1, ratePerSecond: 5 }],
      ["*", { weight: 2 }],
    ]),
  )
})

it.each([
  ["/ weight=1", '"/" is no tenant'],
  ["acme wait=1", 'acme: "wait=1" is no setting'],
  ["acme weight", 'acme: weight has to be a whole number from 1 to 1000, not ""'],
  ["acme weight=0", "acme: weight has to be a whole number from 1 to 1000"],
  ["acme ratePerSecond=0.5", "acme: ratePerSecond has to be a whole number from 1 to 1000000"],
  ["acme weight=1=2", 'acme: "weight=1=2" is no setting'],
  ["acme weight=1 weight=2", "acme: weight is there twice"],
  ["acme constructor=1", 'acme: "constructor=1" is no setting'],
])("refuses %j at the start, and says where it is wrong", (entry, message) => {
  const env = { REDCAR_DELIVERY_TENANTS: `shop weight=2,${entry}` }
  const loaded = loadSettings({ flags: {}, env, readFile: () => undefined })
  expect(loaded).toMatchObject({ kind: "faults", faults: [{ where: "REDCAR_DELIVERY_TENANTS" }] })
  expect(loaded.kind === "faults" && loaded.faults[0]!.message).toContain(message)
})

it("refuses a tenant that is there twice", () => {
  expect(parseTenants(["acme weight=4", "acme weight=5"])).toBe("acme is there twice")
})
