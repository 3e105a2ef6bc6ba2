import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../../hub.fixture.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { openTestApi, type TestApi, testEvent } from "../api.fixture.ts"
import { Turns } from "../turns.ts"
import { type Place, Search } from "./find-events.ts"

let api: TestApi

beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

function find(query: string, headers: Record<string, string> = {}) {
  return api.call("GET", `/v1/events?${query}`, undefined, headers)
}

test("an event is found by its id alone, on whatever topic, newest first, and not by another tenant", async () => {
  await api.append("one", ["a", "b"])
  await api.append("two:k", ["b", "c"])
  const { status, body } = await find("id=b")
  expect(status).toBe(200)
  expect(body.items).toMatchObject([
    { id: "b", source: "/test", type: "test.b", topic: "two:k", cursor: expect.any(String) },
    { id: "b", topic: "one" },
  ])
  expect((await find("id=b&topic=one")).body.items).toMatchObject([{ topic: "one" }])
  expect((await find("id=b&topic=two:other")).body).toMatchObject({ items: [], searched: { complete: true } })
  expect((await find("id=b&source=/test")).body).toMatchObject({
    items: [{ topic: "two:k" }, { topic: "one" }],
    searched: { events: 0, complete: true },
  })
  expect((await find("id=b&source=/other")).body.items).toEqual([])
  const none = (await find("id=nothing")).body
  expect(none).toMatchObject({ items: [], searched: { events: 4, complete: true } })
  expect(none).not.toHaveProperty("nextPageToken")
  expect((await find("id=b", { authorization: "Bearer other" })).body.items).toEqual([])
  expect((await find("id=b&topic=nowhere")).status).toBe(404)
})

test("what is wrong is named", async () => {
  expect((await find("")).body.errors).toMatchObject([{ field: "id" }])
  expect((await find("id=")).body.errors).toMatchObject([{ field: "id" }])
  expect((await find("id=b&nonsense=1")).body.errors).toMatchObject([{ field: "nonsense" }])
  expect((await find("id=b&pageToken=x")).body.errors).toMatchObject([{ field: "pageToken" }])
})

test("page by page everything is looked at once, and what is newer comes first", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom("p", "q"), fc.constantFrom("x", "y", "z"), fc.integer({ min: 0, max: 3 })), {
        maxLength: 40,
      }),
      fc.integer({ min: 1, max: 20 }),
      async (events, eventsMax) => {
        const own = await openTestApi()
        try {
          // An hour, a week or nothing apart, up to now.
          const gaps = [0, 1_000, 3_600_000, 7 * 86_400_000]
          let at = Date.now() - events.reduce((sum, [, , gap]) => sum + gaps[gap]!, 0)
          for (const [topic, id, gap] of events) {
            at += gaps[gap]!
            await own.engine.log.append({ tenant: "default", topic }, [testEvent(id)], {
              storedAt: at,
              dedupeWindowMs: 0,
            })
          }
          const context = { engine: own.engine, clock: systemClock, turns: new Turns() }
          const found: { readonly cursor: string; readonly storedAt: string }[] = []
          let looked = 0
          let place: Place | undefined
          for (let pages = 0; ; pages++) {
            expect(pages).toBeLessThan(200)
            const search: Search = new Search(context, { tenant: "default" }, "x", { add() {} }, place, {
              eventsMax,
              searchMsMax: 60_000,
            })
            const part = await search.run()
            found.push(...part.items)
            looked += part.events
            place = part.place
            if (place === undefined) break
          }
          expect(looked).toBe(events.length)
          expect(found.length).toBe(events.filter(([, id]) => id === "x").length)
          expect(new Set(found.map(({ cursor }) => cursor)).size).toBe(found.length)
          const cursors = found.map(({ cursor }) => cursor)
          if (eventsMax > events.length) expect(cursors).toEqual(cursors.toSorted().toReversed())
        } finally {
          await own.close()
        }
      },
    ),
    { numRuns: 20 },
  )
}, 60_000)

describe.skipIf(natsAvailable() === undefined)("on NATS", () => {
  let nats: Nats
  let hub: TestHub
  beforeAll(async () => {
    nats = await startNats()
    hub = await startTestHub({ engine: nats.url })
  }, 60_000)
  afterAll(async () => {
    await hub.stop()
    await nats.stop()
  })

  test("all partitions are looked at", async () => {
    const headers = { "content-type": "application/cloudevents+json" }
    for (const topic of ["a", "b", "c", "d", "e", "f"]) {
      for (const id of ["1", topic])
        await hub.call(
          "POST",
          `/v1/topics/${topic}/events`,
          { specversion: "1.0", id, source: "/s", type: "t" },
          headers,
        )
    }
    const all = (await hub.call("GET", "/v1/events?id=1")).body
    expect(all).toMatchObject({ searched: {} })
    expect(all.items.map(({ topic }: { topic: string }) => topic)).toEqual(["f", "e", "d", "c", "b", "a"])
    expect((await hub.call("GET", "/v1/events?id=c")).body.items).toMatchObject([{ topic: "c", source: "/s" }])
    expect((await hub.call("GET", "/v1/events?id=1&source=/s")).body.items.length).toBe(6)
    expect((await hub.call("GET", "/v1/events?id=none")).body).toMatchObject({
      items: [],
      searched: { complete: true },
    })
  }, 30_000)
})
