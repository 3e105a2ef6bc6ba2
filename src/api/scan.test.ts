import { afterAll, beforeAll, expect, test } from "vitest"
import type { Catalog } from "../core/catalog.ts"
import type { Trigger } from "../core/resources.ts"
import { openTestApi, type TestApi } from "./api.fixture.ts"

const count = 1_000
/** Rows of one reading of the catalog at most. */
const atOnce = 500
const lists: { readonly prefix: string; readonly rows: number }[] = []
let real: TestApi
let api: TestApi
let cursor: string

beforeAll(async () => {
  real = await openTestApi()
  cursor = (await real.append("orders", ["1"]))[0]!
  await real.call("POST", "/v1/topics", { id: "spare" })
  for (const id of ["shop", "spare"])
    await real.call("POST", "/v1/destinations", { id, kind: "webhook", config: { url: "https://example.com/" } })
  await real.call("POST", "/v1/triggers", { id: "first", topic: "orders", destination: "shop" })
  await copies("trigger", "first")
  await copies("topic", "spare")
  await copies("destination", "spare")
  api = await openTestApi({ engine: { ...real.engine, catalog: counting(real.engine.catalog) } })
})
afterAll(async () => {
  await api.close()
  await real.close()
})

/** Many more of a resource, as if each had been made. */
async function copies(name: string, id: string): Promise<void> {
  const { catalog } = real.engine
  const { value } = (await catalog.get<Trigger>(`${name}/default/${id}`))!
  const ids = Array.from({ length: count }, (_, i) => `c-${i}`)
  await Promise.all(ids.map((copy) => catalog.put(`${name}/default/${copy}`, { ...value, id: copy }, 0)))
}

/** The catalog, with what is read of it by lists. */
function counting(catalog: Catalog): Catalog {
  return new Proxy(catalog, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== "function") return member
      if (name !== "list") return member.bind(target)
      return async (prefix: string, options: Parameters<Catalog["list"]>[1]) => {
        const rows = await target.list(prefix, options)
        lists.push({ prefix, rows: rows.length })
        return rows
      }
    },
  })
}

const event = { specversion: "1.0", id: "1", source: "/s", type: "t" }

test.each([
  ["GET", "/v1/topics", 1],
  ["GET", "/v1/topics?labels=a%3Db", count],
  ["GET", "/v1/destinations?labels=a%3Db", count],
  ["GET", "/v1/triggers?labels=a%3Db", count],
  ["GET", "/v1/events/{cursor}/deliveries", count],
  ["DELETE", "/v1/topics/spare?validate_only=true", count],
  ["DELETE", "/v1/destinations/spare?validate_only=true", count],
  ["POST", "/v1/triggers:match", 1],
] as const)("%s %s reads no row twice, and not many at once (%#)", async (method, path, least) => {
  lists.length = 0
  const body = method === "POST" ? { topic: "orders", event } : undefined
  expect((await api.call(method, path.replace("{cursor}", cursor), body)).status).toBe(200)
  const rows = lists.reduce((sum, each) => sum + each.rows, 0)
  expect(rows).toBeGreaterThanOrEqual(least)
  // What was made beside the copies, and the rest of a reading.
  expect(rows).toBeLessThanOrEqual(least === 1 ? atOnce : least + 5)
  for (const each of lists) expect(each.rows).toBeLessThanOrEqual(atOnce)
})
