import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { subscriptionPositionKeys } from "../../core/catalog-keys.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { openTestApi, type TestApi } from "../api.fixture.ts"

const clock = createSimulatedClock(1_700_000_000_000)
let api: TestApi
let made = 0

beforeAll(async () => {
  api = await openTestApi({ clock })
})
afterAll(() => api.close())

interface Named {
  readonly topic: string
  readonly id: string
  append(...ids: readonly string[]): Promise<readonly string[]>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  read(query?: string): Promise<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  post(verb: string, body: unknown, headers?: Record<string, string>): Promise<any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  get(): Promise<any>
}

/** A subscription to a topic of its own, which has events `before` it. */
async function subscribe(more: object = {}, before: readonly string[] = []): Promise<Named> {
  const id = `s${++made}`
  const topic = `t${made}`
  await api.append(topic, before)
  const { status, text } = await api.call("POST", "/v1/subscriptions", { id, topic, ...more })
  expect([status, text]).toEqual([201, expect.any(String)])
  return {
    ...{ topic, id },
    append: (...ids) => api.append(topic, ids),
    async read(query = "") {
      const answer = await api.call("GET", `/v1/subscriptions/${id}/events${query}`)
      expect(answer.status, answer.text).toBe(200)
      return answer.body
    },
    post: (verb, body, headers) => api.call("POST", `/v1/subscriptions/${id}/${verb}`, body, headers),
    get: async () => (await api.call("GET", `/v1/subscriptions/${id}`)).body,
  }
}

// biome-ignore lint/suspicious/noExplicitAny: an answer
const idsOf = ({ items }: any): readonly string[] => items.map(({ id }: { id: string }) => id)

// biome-ignore lint/suspicious/noExplicitAny: an answer
const refusal = ({ status, body }: any) => [status, body.code, body.errors?.[0].field]

test("reading moves nothing, and a commit does", async () => {
  const { append, read, post, get } = await subscribe({ start: "oldest" }, ["a", "b"])
  const [c] = await append("c")
  const first = await read("?limit=2")
  expect(idsOf(first)).toEqual(["a", "b"])
  expect(first.more).toBe(true)
  expect(await read("?limit=2")).toEqual(first)
  expect(idsOf(await read(`?from=${first.next}`))).toEqual(["c"])
  const committed = await post("commit", { cursor: first.next, expected: first.position })
  expect(committed.body).toEqual({ cursor: first.next, epoch: 1, movedAt: expect.any(String) })
  const second = await read()
  expect([idsOf(second), second.more, second.position.cursor]).toEqual([["c"], false, first.next])
  expect(second.items[0].redcarcursor).toBe(c)
  expect((await get()).status).toMatchObject({ position: committed.body, lag: { events: 1 }, missed: false })
})

test("it starts at the end, unless it says otherwise", async () => {
  const { read, append } = await subscribe({}, ["before"])
  expect(idsOf(await read())).toEqual([])
  await append("after")
  expect(idsOf(await read())).toEqual(["after"])
})

test("it starts after a cursor, and since a time", async () => {
  const [a] = await api.append("places", ["a"])
  await clock.advance(1_000)
  const time = new Date(clock.now()).toISOString()
  await api.append("places", ["b", "c"])
  for (const start of [{ cursor: a }, { time }]) {
    const { read } = await subscribe({ topic: "places", start })
    expect(idsOf(await read())).toEqual(["b", "c"])
  }
})

test("one key of a topic, and filters: what is left out is passed over by the commit", async () => {
  const { read, topic, post } = await subscribe({ start: "oldest", filters: [{ exact: { type: "test.x" } }] })
  await api.append(topic, ["a", "x", "b"])
  const page = await read()
  expect(idsOf(page)).toEqual(["x"])
  await post("commit", { cursor: page.next, expected: page.position })
  const after = await read()
  expect([idsOf(after), after.next]).toEqual([[], page.next])
  const keyed = await subscribe({ topic: "keyed:1", start: "oldest" })
  await api.append("keyed:2", ["other"])
  await api.append("keyed:1", ["mine"])
  expect(idsOf(await keyed.read())).toEqual(["mine"])
})

describe("of commits", () => {
  test("one of two at once wins, and the same one again is heard", async () => {
    const { append, read, post } = await subscribe({ start: "oldest" })
    const [a, b] = await append("a", "b")
    const { position } = await read()
    const both = await Promise.all([a, b].map((cursor) => post("commit", { cursor, expected: position })))
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 412])
    const won = both.findIndex(({ status }) => status === 200)
    const lost = both[1 - won]!
    expect(refusal(lost)).toEqual([412, "precondition-failed", "expected.cursor"])
    expect(lost.body.detail).toContain(`stands at ${[a, b][won]} of epoch 1`)
    expect((await post("commit", { cursor: [a, b][won], expected: position })).body).toEqual(both[won]!.body)
  })

  test("none moves back", async () => {
    const { append, read, post } = await subscribe({ start: "oldest" })
    const [a, b] = await append("a", "b")
    await post("commit", { cursor: b })
    expect(refusal(await post("commit", { cursor: a }))).toEqual([409, "conflict", "cursor"])
    const { position } = await read()
    expect(position.cursor).toBe(b)
    expect(refusal(await post("commit", { cursor: a, expected: position }))).toEqual([409, "conflict", "cursor"])
  })

  test("none goes beyond the end, or to what is no cursor", async () => {
    const { post } = await subscribe()
    for (const cursor of ["0000zzzzzzz", "x", "00000000000000000000"])
      expect(refusal(await post("commit", { cursor }))).toEqual([400, "invalid-argument", "cursor"])
  })

  test("one from before a reset is refused, though it stands where it stood", async () => {
    const { append, read, post } = await subscribe({ start: "oldest" })
    const [a] = await append("a", "b")
    const { position, next } = await read()
    const reset = (await post("reset", { to: "oldest" })).body
    expect(reset).toMatchObject({ cursor: position.cursor, epoch: 2 })
    expect(refusal(await post("commit", { cursor: next, expected: position }))).toEqual([
      ...[412, "precondition-failed", "expected.epoch"],
    ])
    expect((await post("commit", { cursor: a, expected: reset })).body).toMatchObject({ cursor: a, epoch: 2 })
  })
})

test("a reset moves to any place, back and forward", async () => {
  const { append, read, post } = await subscribe({ start: "oldest" })
  const [a] = await append("a")
  await clock.advance(1_000)
  const time = new Date(clock.now()).toISOString()
  await append("b", "c")
  const at = async (to: unknown) => {
    expect((await post("reset", { to })).status).toBe(200)
    return idsOf(await read())
  }
  expect(await at("newest")).toEqual([])
  expect(await at("oldest")).toEqual(["a", "b", "c"])
  expect(await at({ time })).toEqual(["b", "c"])
  expect(await at({ cursor: a })).toEqual(["b", "c"])
  expect(refusal(await post("reset", { to: { cursor: "zz" } }))).toEqual([400, "invalid-argument", "to.cursor"])
  expect(refusal(await post("reset", { to: { time: "soon" } }))).toEqual([400, "invalid-argument", "to.time"])
  const { position } = await read()
  const expected = { ...position, epoch: 1 }
  expect(refusal(await post("reset", { to: "oldest", expected }))).toEqual([412, "precondition-failed", "expected"])
})

test("what retention has dropped unread is told, and reading goes on behind it", async () => {
  const { append, read, post, get, topic } = await subscribe({ start: "oldest" })
  const cursors = await append("a", "b", "c")
  await post("commit", { cursor: cursors[0] })
  const address = { tenant: "default", topic }
  await api.engine.log.trim(address, { eventsMax: 2 })
  expect((await read()).missed).toBeUndefined()
  await api.engine.log.trim(address, { eventsMax: 1 })
  const page = await read()
  expect([idsOf(page), page.missed]).toEqual([["c"], { after: cursors[0], until: cursors[1] }])
  expect((await get()).status.missed).toBe(true)
  await post("commit", { cursor: page.next, expected: page.position })
  expect((await read()).missed).toBeUndefined()
  await post("reset", { to: "oldest" })
  expect((await read()).missed).toBeUndefined()
})

test("the lag is told in events and seconds", async () => {
  const { append, get, post } = await subscribe()
  expect((await get()).status.lag).toEqual({ events: 0, seconds: 0 })
  const [a] = await append("a")
  await clock.advance(5_000)
  await append("b")
  await clock.advance(2_000)
  expect((await get()).status.lag).toEqual({ events: 2, seconds: 7 })
  await post("commit", { cursor: a })
  expect((await get()).status.lag).toEqual({ events: 1, seconds: 2 })
  const { items } = (await api.call("GET", "/v1/subscriptions?pageSize=1000")).body
  expect(items.at(-1).status.position.cursor).toBeDefined()
})

/** Resolves when so many requests wait. */
async function untilPolls(count: number): Promise<void> {
  while (api.figures().api_polls_open !== count) await new Promise(setImmediate)
}

describe("whoever waits", () => {
  test("is answered as soon as something comes that is for it, and holds nothing until then", async () => {
    const { read, append } = await subscribe({ filters: [{ exact: { type: "test.x" } }] })
    const waiting = read("?waitFor=60s")
    await untilPolls(1)
    while (api.figures().api_answer_bytes > 0) await new Promise(setImmediate)
    await append("a")
    await append("x")
    expect(idsOf(await waiting)).toEqual(["x"])
    await untilPolls(0)
  })

  test("is answered with all the others who wait for the same event, however many", async () => {
    const { read, append } = await subscribe()
    const waiting = Array.from({ length: 600 }, () => read("?waitFor=60s"))
    await untilPolls(600)
    await append("a")
    for (const page of await Promise.all(waiting)) expect(idsOf(page)).toEqual(["a"])
  })

  test("is answered with nothing when the time is over", async () => {
    const { read } = await subscribe()
    const waiting = read("?waitFor=20s")
    await untilPolls(1)
    await clock.advance(20_000)
    expect((await waiting).items).toEqual([])
  })

  test("leaves when its client does", async () => {
    const { id } = await subscribe()
    const gone = new AbortController()
    const headers = { authorization: "Bearer admin" }
    const asked = fetch(`${api.url}/v1/subscriptions/${id}/events?waitFor=60s`, { headers, signal: gone.signal })
    await untilPolls(1)
    gone.abort()
    await asked.catch(() => undefined)
    await untilPolls(0)
  })

  test("waits for 60 s at most", async () => {
    const { id } = await subscribe()
    const answer = await api.call("GET", `/v1/subscriptions/${id}/events?waitFor=61s&limit=0&from=zz`)
    expect(answer.body.errors.map(({ field }: { field: string }) => field).toSorted()).toEqual([
      ...["from", "limit", "waitFor"],
    ])
  })
})

test("another tenant's is not there", async () => {
  const { id } = await subscribe()
  const other = { authorization: "Bearer other" }
  for (const [method, path, body] of [
    ["GET", ""],
    ["GET", "/events"],
    ["GET", "/stream"],
    ["POST", "/commit", { cursor: "00000000000" }],
    ["POST", "/reset", { to: "newest" }],
    ["DELETE", ""],
  ] as const)
    expect((await api.call(method, `/v1/subscriptions/${id}${path}`, body, other)).status, path).toBe(404)
})

test("one that is deleted and made anew is another one", async () => {
  const { id, topic, append, read, post } = await subscribe({ start: "oldest" })
  const [a] = await append("a")
  await post("reset", { to: { cursor: a } })
  expect((await api.call("DELETE", `/v1/subscriptions/${id}`)).status).toBe(204)
  const key = subscriptionPositionKeys.of({ tenant: "default", id })
  expect(await api.engine.catalog.get(key)).toBeUndefined()
  expect((await post("commit", { cursor: a })).status).toBe(404)
  await api.call("POST", "/v1/subscriptions", { id, topic, start: "oldest" })
  const page = await read()
  expect([idsOf(page), page.position.epoch]).toEqual([["a"], 1])
})

test("one whose position is lost stands where it began", async () => {
  const { id, append, read, post } = await subscribe({ start: "oldest" })
  const [a] = await append("a", "b")
  await post("commit", { cursor: a })
  await api.engine.catalog.delete(subscriptionPositionKeys.of({ tenant: "default", id }))
  const page = await read()
  expect([idsOf(page), page.position.epoch]).toEqual([["a", "b"], 1])
  expect((await post("commit", { cursor: a, expected: page.position })).status).toBe(200)
  expect(idsOf(await read())).toEqual(["b"])
})

test("commits that come while it is deleted leave nothing behind", async () => {
  for (let run = 0; run < 10; run++) {
    const { id, append, post } = await subscribe({ start: "oldest" })
    const cursors = await append("a", "b", "c")
    const commits = cursors.map((cursor) => post("commit", { cursor }))
    const [deleted, ...answers] = await Promise.all([api.call("DELETE", `/v1/subscriptions/${id}`), ...commits])
    expect(deleted.status).toBe(204)
    for (const { status } of answers) expect([200, 404, 409]).toContain(status)
    expect(await api.engine.catalog.get(subscriptionPositionKeys.of({ tenant: "default", id }))).toBeUndefined()
  }
})

test("its topic and its start stay; the rest can be changed, and moves nothing", async () => {
  const { id, read, append, post } = await subscribe({ start: "oldest" })
  const [a] = await append("a", "b")
  await post("commit", { cursor: a })
  const patch = (body: unknown) =>
    api.call("PATCH", `/v1/subscriptions/${id}`, body, { "content-type": "application/merge-patch+json" })
  expect(refusal(await patch({ topic: "else" }))).toEqual([400, "invalid-argument", "topic"])
  expect(refusal(await patch({ start: { cursor: "00000000009" } }))).toEqual([400, "invalid-argument", "start"])
  expect((await patch({ filters: [{ exact: { type: "test.a" } }], labels: { team: "x" } })).status).toBe(200)
  const page = await read()
  expect([idsOf(page), page.position.cursor]).toEqual([[], a])
})

test("a topic that one reads cannot be deleted", async () => {
  const { id, topic } = await subscribe()
  const refused = await api.call("DELETE", `/v1/topics/${topic}`)
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(`subscription ${id}`)])
  await api.call("DELETE", `/v1/subscriptions/${id}`)
  expect((await api.call("DELETE", `/v1/topics/${topic}`)).status).toBe(204)
})

test("it is streamed from where it stands", async () => {
  const { id, append, post } = await subscribe({ start: "oldest", filters: [{ prefix: { type: "test." } }] })
  const [a] = await append("a", "b")
  await post("commit", { cursor: a })
  const gone = new AbortController()
  const headers = { authorization: "Bearer admin" }
  const { body } = await fetch(`${api.url}/v1/subscriptions/${id}/stream`, { headers, signal: gone.signal })
  let text = ""
  for await (const chunk of body!) {
    text += Buffer.from(chunk).toString()
    if (text.includes('"id":"b"')) break
  }
  gone.abort()
  expect(text).not.toContain('"id":"a"')
})

/** Where a subscription stands, thought of as a number of events. */
interface Model {
  at: number
  epoch: number
}

type Step =
  | { readonly kind: "append" | "read" | "new" }
  | { readonly kind: "commit"; readonly to: number; readonly says: "nothing" | "now" | "earlier" }
  | { readonly kind: "reset"; readonly to: number }

const steps = fc.array(
  fc.oneof(
    fc.record<Step & { kind: "append" | "read" | "new" }>({ kind: fc.constantFrom("append", "read", "read", "new") }),
    fc.record<Step & { kind: "commit" }>({
      kind: fc.constant("commit"),
      to: fc.nat(12),
      says: fc.constantFrom("nothing", "now", "earlier"),
    }),
    fc.record<Step & { kind: "reset" }>({ kind: fc.constant("reset"), to: fc.nat(12) }),
  ),
  { maxLength: 25 },
)

test("stands where a naive model does, whatever is committed and reset", async () => {
  const run = async (all: readonly Step[]) => {
    const { topic, id, read, post, append } = await subscribe({ start: "oldest" })
    const start = (await read()).position
    const cursors: string[] = [start.cursor]
    let model: Model = { at: 0, epoch: 1 }
    let earlier = model
    const told = ({ at, epoch }: Model) => ({ cursor: cursors[at]!, epoch })
    for (const step of all) {
      if (step.kind === "append") cursors.push(...(await append(`e${cursors.length}`)))
      else if (step.kind === "new") {
        await api.call("DELETE", `/v1/subscriptions/${id}`)
        await api.call("POST", "/v1/subscriptions", { id, topic, start: { cursor: cursors[0] } })
        model = { at: 0, epoch: 1 }
        earlier = model
      } else if (step.kind === "reset") {
        const to = Math.min(step.to, cursors.length - 1)
        earlier = model
        model = { at: to, epoch: model.epoch + 1 }
        expect((await post("reset", { to: { cursor: cursors[to] } })).body).toMatchObject(told(model))
      } else if (step.kind === "commit") {
        const to = Math.min(step.to, cursors.length - 1)
        const says = { nothing: undefined, now: model, earlier }[step.says]
        const isSame = says === undefined || says.epoch === model.epoch
        const isHeard = isSame && (to === model.at || (to > model.at && (says === undefined || says.at === model.at)))
        const { status } = await post("commit", { cursor: cursors[to], ...(says && { expected: told(says) }) })
        expect(status === 200).toBe(isHeard)
        if (!isHeard || to === model.at) continue
        earlier = model
        model = { ...model, at: to }
      }
      const page = await read()
      expect(idsOf(page)).toEqual(cursors.slice(model.at + 1).map((_, i) => `e${model.at + 1 + i}`))
      expect(page.position).toEqual(told(model))
    }
  }
  await fc.assert(fc.asyncProperty(steps, run), { numRuns: 25 })
})
