import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import * as arbitrary from "./filters/arbitraries.fixture.ts"
import { compileFilters, evaluateLine } from "./filters/index.ts"
import { type NumberFilter, numberFilters, numberTexts } from "./filters/numbers.fixture.ts"
import { JsonDecoder } from "./formats/json-decode.ts"
import { startTestHub, type TestHub } from "./hub.fixture.ts"
import { until } from "./restart.fixture.ts"

/*
 * Whether an event fires a trigger is decided in one place and told in many: what was routed, a journey, an explanation of a
 * stored event and of one in a question, a dry run, triggers:match, redcar filter eval. All have to say the same, and of
 * numbers what a naive oracle says that reads the text by itself.
 */

let hub: TestHub
beforeAll(async () => {
  hub = await startTestHub()
})
afterAll(() => hub.stop())

type Asked = Pick<NumberFilter, "filters"> & Partial<NumberFilter>

interface Published {
  readonly text: string
  readonly cursor: string
  /** What is written at `data.x`, where it is a number. */
  readonly x: string | undefined
}

async function publish(text: string, x?: string): Promise<Published | undefined> {
  const headers = { authorization: `Bearer ${hub.key}`, "content-type": "application/cloudevents+json" }
  const answer = await fetch(`${hub.url}/v1/topics/orders/events`, { method: "POST", headers, body: text })
  const body = (await answer.json()) as { readonly cursor: string }
  return answer.status === 202 ? { text, cursor: body.cursor, x } : undefined
}

const envelope = (id: string) => `"specversion":"1.0","id":"${id}"`

async function publishAll(events: readonly string[]): Promise<readonly Published[]> {
  const published = [
    ...(await Promise.all(
      numberTexts.map((x, at) => publish(`{${envelope(`n${at}`)},"source":"/n","type":"n","data":{"x":${x}}}`, x)),
    )),
    ...(await Promise.all(events.map((text) => publish(text)))),
    await publish(`{${envelope("last")},"source":"/n","type":"last"}`),
  ]
  return published.filter((each) => each !== undefined)
}

async function create(asked: readonly Asked[]): Promise<void> {
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/destinations", { id: "d", kind: "topic", config: { topic: "out" } })
  for (const [at, { filters }] of asked.entries()) {
    const made = await hub.call("POST", "/v1/triggers", { id: `t${at}`, topic: "orders", destination: "d", filters })
    expect(made.status, JSON.stringify(made.body)).toBe(201)
  }
}

interface JourneyTrigger {
  readonly trigger: string
  readonly verdict: string
  readonly delivery?: object
}

async function journeyOf({ cursor }: Published): Promise<readonly JourneyTrigger[]> {
  return (await hub.call("GET", `/v1/events/${cursor}/journey`)).body.triggers
}

async function matchedBy(body: string): Promise<readonly string[]> {
  const headers = { authorization: `Bearer ${hub.key}`, "content-type": "application/json" }
  const answer = await fetch(`${hub.url}/v1/triggers:match`, { method: "POST", headers, body })
  const { items, nextPageToken } = (await answer.json()) as {
    readonly items: readonly { readonly id: string }[]
    readonly nextPageToken?: string
  }
  expect(nextPageToken).toBeUndefined()
  return items.map(({ id }) => id).sort()
}

interface ShownClause {
  readonly clause: string
  readonly actual?: unknown
  readonly decided?: boolean
  readonly of?: readonly ShownClause[]
}

function deciderOf(clause: ShownClause): ShownClause | undefined {
  return clause.decided ? clause : clause.of?.map(deciderOf).find((found) => found !== undefined)
}

test("what was routed is what everybody says, and what is written", async () => {
  const seed = Date.now()
  const filters = fc.sample(fc.array(arbitrary.filter, { minLength: 1, maxLength: 2 }), { numRuns: 30, seed })
  const some = numberFilters.filter((_, at) => (at + seed) % 4 === 0)
  const asked: readonly Asked[] = [...some, ...filters.map((filters) => ({ filters })), { filters: [] }]
  const events = fc.sample(arbitrary.event, { numRuns: 40, seed }).map((event, at) => {
    const { id: _, specversion: __, ...attributes } = event.attributes
    const data = event.data === undefined ? "" : `,"data":${Buffer.from(event.data).toString()}`
    return `{${envelope(`e${at}`)},${JSON.stringify(attributes).slice(1, -1)}${data}}`
  })
  await create(asked)
  const published = await publishAll(events)
  const always = `t${asked.length - 1}`
  await until(async () => (await journeyOf(published.at(-1)!)).some((each) => each.trigger === always && each.delivery))

  const fired = new Map<string, Set<string>>()
  for (const event of published) {
    const journey = await journeyOf(event)
    const routed = journey.filter(({ delivery }) => delivery !== undefined).map(({ trigger }) => trigger)
    const told = journey.filter(({ verdict }) => verdict === "fires").map(({ trigger }) => trigger)
    const decoded = new JsonDecoder().decode(Buffer.from(event.text))
    if ("faults" in decoded) throw new Error(decoded.detail)
    const where = `seed ${seed}: ${event.text}`
    const naive = asked.flatMap(({ filters, oracle }, at) => {
      const passes = event.x !== undefined && oracle ? oracle(event.x) : compileFilters(filters)(decoded)
      return passes ? [`t${at}`] : []
    })
    const evaluated = asked.flatMap(({ filters }, at) => {
      const answer = evaluateLine(`{"filter":${JSON.stringify({ all: filters })},"event":${event.text}}`)
      return filters.length === 0 || JSON.parse(answer).pass ? [`t${at}`] : []
    })
    expect(routed.sort(), where).toEqual(naive.sort())
    expect(told.sort(), where).toEqual(routed)
    expect(evaluated.sort(), where).toEqual(routed)
    expect(await matchedBy(`{"pageSize":500,"cursor":"${event.cursor}"}`), where).toEqual(routed)
    expect(await matchedBy(`{"pageSize":500,"topic":"orders","event":${event.text}}`), where).toEqual(routed)
    fired.set(event.cursor, new Set(routed))
  }

  const mixed = asked.flatMap((_, at) => (at % 3 === 0 || at >= some.length ? [at] : []))
  for (const at of mixed) {
    const id = `t${at}`
    const wanted = published.filter(({ cursor }) => fired.get(cursor)!.has(id))
    const run = (await hub.call("POST", `/v1/triggers/${id}/dry-run`, { sampleMax: 100, from: "oldest" })).text
    const where = `seed ${seed}: ${JSON.stringify(asked[at])}`
    expect(JSON.parse(run.trim().split("\n").at(-1)!).matched, where).toBe(wanted.length)
    for (const { cursor, text } of published.slice(0, 12).concat(published.slice(-8))) {
      const { body } = await hub.call("POST", `/v1/triggers/${id}/explain`, { cursor })
      expect(body.verdict === "fires", `${where}, of ${text}`).toBe(fired.get(cursor)!.has(id))
      expect(body.pass).toBe(body.verdict === "fires")
      if (asked[at]!.filters.length === 0) continue
      const decider = deciderOf(body.tree)!
      expect(body.sentence).toContain(decider.clause)
      if (typeof decider.actual === "string")
        expect(body.sentence).toContain(JSON.stringify(decider.actual).slice(0, 60))
    }
  }
}, 120_000)
