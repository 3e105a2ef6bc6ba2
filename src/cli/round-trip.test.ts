import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "../api/api.fixture.ts"
import { runCli } from "./terminal.fixture.ts"

let api: TestApi

beforeAll(async () => {
  api = await openTestApi()
  await api.call("POST", "/v1/topics", { id: "orders" })
  await api.append("orders", ["1", "2"])
  await api.call("POST", "/v1/destinations", { id: "copy", kind: "topic", config: { topic: "archive" } })
})
afterAll(() => api.close())

function run(words: readonly string[], stdin = "") {
  return runCli([...words, "--url", api.url, "--key", "admin"], { stdin })
}

const text = fc.string({ maxLength: 40, unit: "grapheme" })
const common = {
  description: fc.option(text, { nil: undefined }),
  labels: fc.option(
    fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[a-z0-9]{0,8}$/), { maxKeys: 3 }),
    {
      nil: undefined,
    },
  ),
}
const duration = fc.constantFrom("10m", "7d", "36h", "1500ms")

const topic = fc.record({
  ...common,
  id: fc.constant("t"),
  retention: fc.option(
    fc.record(
      {
        ageMax: fc.constantFrom("7d", "90d"),
        eventsMax: fc.integer({ min: 1, max: 1e9 }),
        rules: fc.array(
          fc.record({
            filters: fc.constantFrom(
              [{ exact: { type: "debug" } }],
              [{ sql: "data.total > 10" }, { prefix: { id: "#:" } }],
            ),
            ageMax: fc.constantFrom("1d", "36h"),
            bytesMax: fc.integer({ min: 1, max: 1e9 }),
          }),
          { minLength: 1, maxLength: 3 },
        ),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  ),
  dedupeWindow: fc.option(duration, { nil: undefined }),
  wrap: fc.option(fc.record({ source: fc.constant("/a"), type: fc.constantFrom("null", "true", "1e3") }), {
    nil: undefined,
  }),
})

const trigger = fc.record({
  ...common,
  id: fc.constant("t"),
  topic: fc.constantFrom("orders", "orders:1"),
  destination: fc.constant("copy"),
  filters: fc.array(
    fc.oneof(
      fc.record({ exact: fc.record({ type: fc.stringMatching(/^[a-z.#:'" -]{1,12}$/) }) }),
      fc.constant({ sql: "data.total > 10 AND type LIKE '%\"#: '" }),
      fc.constant({ any: [{ prefix: { type: "a" } }, { not: { suffix: { source: "/b" } } }] }),
    ),
    { maxLength: 3 },
  ),
  retry: fc.constantFrom(undefined, "relay", "none", {
    delays: ["1s", "5m"],
    jitter: 0.25,
    attemptsMax: 7,
    ageMax: "2d",
  }),
  reply: fc.constantFrom(undefined, { topic: "orders" }),
  start: fc.constantFrom(undefined, "now", "oldest", { time: "2026-01-31T12:00:00Z" }),
  paused: fc.constantFrom(undefined, true, false),
})

const destination = fc.record({
  ...common,
  id: fc.constant("d"),
  kind: fc.constant("webhook"),
  config: fc.record(
    {
      url: fc.constant("https://example.com/hook?a=b%23"),
      mode: fc.constantFrom("binary", "structured"),
      timeoutMs: fc.constant(5_000),
    },
    { requiredKeys: ["url"] },
  ),
  concurrency: fc.option(fc.integer({ min: 1, max: 1_024 }), { nil: undefined }),
  ratePerSecond: fc.option(fc.constantFrom(0.5, 10), { nil: undefined }),
})

const schedule = fc
  .record({
    ...common,
    id: fc.constant("s"),
    topic: fc.constantFrom("orders", "orders:1"),
    event: fc.record(
      {
        type: fc.constantFrom("null", "day.begun"),
        data: fc.jsonValue({ maxDepth: 2 }).filter((value) => !holdsZero(value)),
        subject: fc.constant("1e3"),
        extensions: fc.constant({ a: 1, b: true, c: "1" }),
      },
      { requiredKeys: ["type"] },
    ),
    missed: fc.constantFrom("skip", "once", "all"),
    twice: fc.constantFrom(undefined, "both"),
    end: fc.constantFrom(undefined, "2999-12-31T00:00:00+02:00"),
    paused: fc.constantFrom(undefined, true, false),
  })
  .chain((body) =>
    fc
      .constantFrom<object>({ cron: "*/5 9 * * 1-5", timeZone: "Europe/Berlin" }, { interval: "90m" })
      .map((timing) => ({ ...body, ...timing })),
  )

/** JSON has no negative zero that lasts. */
function holdsZero(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(holdsZero)
  return Object.is(value, -0)
}

/** What a person has said of it. */
function meant(body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { createdAt, updatedAt, etag, status, stats, signingKeys, pausedSince, pauseReason, ...rest } = body
  return rest
}

const kinds: readonly (readonly [string, fc.Arbitrary<{ readonly id: string }>])[] = [
  ["topic", topic],
  ["trigger", trigger],
  ["destination", destination],
  ["schedule", schedule],
]

test.each(kinds)(
  "what `get` prints of a %s makes it again, and changes nothing of the one that is there",
  async (kind, any) => {
    await fc.assert(
      fc.asyncProperty(any, fc.constantFrom("yaml", "json"), async (resource, output) => {
        const path = `/v1/${kind}s/${resource.id}`
        await api.call("DELETE", path)
        const made = await api.call("POST", `/v1/${kind}s`, resource)
        expect(made.status, JSON.stringify(made.body)).toBe(201)
        const first = (await api.call("GET", path)).body
        const printed = (await run([kind, "get", resource.id, "--output", output])).out
        expect(printed).not.toContain("whsec_")

        expect(await run([kind, "update", resource.id, "--file", "-"], printed)).toMatchObject({ code: 0 })
        expect(meant((await api.call("GET", path)).body)).toEqual(meant(first))

        expect((await run([kind, "delete", resource.id, "--yes"])).code).toBe(0)
        expect(await run([kind, "create", "--file", "-"], printed)).toMatchObject({ code: 0 })
        expect(meant((await api.call("GET", path)).body)).toEqual(meant(first))
        await run([kind, "delete", resource.id, "--yes"])
      }),
      { numRuns: 25 },
    )
  },
  60_000,
)

test("a secret is not shown, is kept by an update, and is asked for where it is made again", async () => {
  const headers = { authorization: "Bearer hidden" }
  const config = { url: "https://example.com/", headers }
  await api.call("POST", "/v1/destinations", { id: "s", kind: "webhook", config })
  const { out } = await run(["destination", "get", "s", "--output", "yaml"])
  expect(out).not.toContain("hidden")
  expect(await run(["destination", "update", "s", "--file", "-", "--rate", "5"], out)).toMatchObject({ code: 0 })
  expect(await api.engine.catalog.get("destination/default/s")).toMatchObject({ value: { config, ratePerSecond: 5 } })
  await run(["destination", "delete", "s", "--yes"])
  const again = await run(["destination", "create", "--file", "-"], out)
  expect(again).toMatchObject({ code: 4, err: expect.stringContaining('is "***", which stands for a stored secret') })
})
