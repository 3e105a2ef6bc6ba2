import { expect, test } from "vitest"
import { Places } from "./places.ts"

test("one tenant has half of the places at most, and all tenants have all of them", () => {
  const places = new Places(4, "streams", "close one")
  const refusal = (tenant: string) => {
    try {
      places.take(tenant)
    } catch (error) {
      return (error as Error).message
    }
    return undefined
  }
  const [first] = [places.take("a"), places.take("a")]
  expect(refusal("a")).toBe("tenant a has 2 streams open already, as many as one may; close one")
  expect([refusal("b"), refusal("c"), places.open]).toEqual([undefined, undefined, 4])
  expect(refusal("d")).toBe("4 streams are open already; close one")
  first()
  expect(refusal("d")).toBeUndefined()
})
