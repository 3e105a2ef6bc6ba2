import { afterAll, describe, expect, test } from "vitest"
import { type Operation, type Parameter, type Place, requestsOf, type Schema } from "./api/openapi.fixture.ts"
import { deadLettersTopic } from "./core/address.ts"
import { startTestHub } from "./hub.fixture.ts"

// Every route of the reference, every field of each: what is wrong is refused by its name, and nothing of it is stored.

const hub = await startTestHub({ publicUrl: "https://hub.example.com" })
afterAll(() => hub.stop())

const given = await furnish()
/** The examples' cursor is that of an event which is there. */
const document = (await hub.call("GET", "/v1/openapi.json")).text.replaceAll("00000000008", given.cursor)
const requests = requestsOf(JSON.parse(document))

/** What there is, so that nothing but the field in question is wrong. */
const exampleCursor = "00000000008"

async function furnish() {
  await hub.call("POST", "/v1/topics", { id: "orders" })
  await hub.call("POST", "/v1/topics", { id: "letters" })
  const config = { url: "http://127.0.0.1:9/hook", connectTimeoutMs: 500 }
  await hub.call("POST", "/v1/destinations", { id: "warehouse", kind: "webhook", config })
  await hub.call("POST", "/v1/destinations", { id: "jobs", kind: "queue", config: {} })
  await hub.call("POST", "/v1/triggers", { id: "ship", topic: "orders", destination: "warehouse", paused: true })
  await hub.call("POST", "/v1/triggers", { id: "dying", topic: "letters", destination: "warehouse", retry: "none" })
  const morning = { id: "morning", topic: "orders", event: { type: "day.begun" }, cron: "0 9 * * *", paused: true }
  await hub.call("POST", "/v1/schedules", morning)
  await hub.call("POST", "/v1/subscriptions", { id: "billing", topic: "orders", start: "oldest" })
  const event = { specversion: "1.0", id: "1", source: "/shop", type: "order.paid" }
  const headers = { "content-type": "application/cloudevents+json" }
  const { cursor } = (await hub.call("POST", "/v1/topics/orders/events", event, headers)).body
  await hub.call("POST", "/v1/topics/letters/events", event, headers)
  await firstOf(deadLettersTopic)
  const later = { ...event, id: "later", deliverat: new Date(Date.now() + 3_600_000).toISOString() }
  const delayed = (await hub.call("POST", "/v1/topics/orders/events", later, headers)).body.delayed.id
  const replay = (await hub.call("POST", "/v1/triggers/ship/replays", { ratePerSecond: 0.01 })).body.id
  return { cursor: String(cursor), letter: await letterId(), replay, delayed: String(delayed) }
}

/** The letter is put down right after its event. */
async function letterId(): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    const [letter] = (await hub.call("GET", "/v1/dead-letters")).body.items
    if (letter !== undefined) return letter.id
  }
  throw new Error("no delivery died")
}

/** Resolves once a topic has an event. */
async function firstOf(topic: string): Promise<void> {
  const headers = { authorization: `Bearer ${hub.key}` }
  const { body } = await fetch(`${hub.url}/v1/topics/${topic}/stream?from=oldest`, { headers })
  let text = ""
  for await (const chunk of body!) {
    text += Buffer.from(chunk).toString()
    if (text.includes("data:")) return
  }
}

/** The values of the parameters in a path; a path that is not known here needs a line here. */
function pathOf(path: string, replaced: Readonly<Record<string, string>> = {}): string {
  const ids: Readonly<Record<string, string>> = {
    "/v1/topics/{id}": "orders",
    "/v1/topics/{topic}/events/{id}": "1",
    "/v1/triggers/{id}": "ship",
    "/v1/destinations/{id}": "warehouse",
    "/v1/schedules/{id}": "morning",
    "/v1/subscriptions/{id}": "billing",
    "/v1/dead-letters/{id}": given.letter,
    "/v1/replays/{id}": given.replay,
    "/v1/delayed/{id}": given.delayed,
  }
  const values: Readonly<Record<string, string | undefined>> = {
    topic: "orders",
    cursor: given.cursor,
    tenant: "default",
    trigger: "ship",
    token: "none",
    queue: "jobs",
    id: Object.entries(ids).find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`))?.[1],
    ...replaced,
  }
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`nothing is known for {${name}} of ${path}: say what is there`)
    return value
  })
}

interface Sent {
  readonly path?: string
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly type?: string
  readonly body?: string
}

function isChecking({ parameters }: Operation): boolean {
  return parameters.some(({ name }) => name === "validate_only")
}

/** Whether a request that is in order changes nothing. */
function isHarmless(operation: Operation): boolean {
  const { method, path } = operation
  return method === "GET" || isChecking(operation) || /[:/](check|match|explain|dry-run|next)$/.test(path)
}

function queryOf(operation: Operation, more: string): string {
  const needed = operation.parameters.filter((each) => each.in === "query" && each.required)
  const pairs = needed.map(({ name, schema }) => `${name}=${encodeURIComponent(String(requests.sample(schema)))}`)
  if (isChecking(operation) && !more.startsWith("validate_only=")) pairs.push("validate_only=true")
  const all = [...pairs, ...(more === "" ? [] : [more])].join("&")
  return all === "" ? "" : `?${all}`
}

async function send(operation: Operation, sent: Sent) {
  const { method, path } = operation
  const url = `${hub.url}${sent.path ?? pathOf(path)}${queryOf(operation, sent.query ?? "")}`
  const headers = {
    authorization: `Bearer ${hub.key}`,
    ...(sent.type && { "content-type": sent.type }),
    ...sent.headers,
  }
  // The document's examples are of another hub.
  const body = sent.body?.replaceAll(exampleCursor, given.cursor)
  const response = await fetch(url, { method, headers, ...(body !== undefined && { body }) })
  const { status } = response
  const type = (response.headers.get("content-type") ?? "").split(";", 1)[0]!
  const isJson = /[/+]json$/.test(type)
  if (status < 400) {
    const body: unknown = isJson ? await response.json() : await response.body?.cancel()
    return { status, fields: [], type, body }
  }
  return { status, fields: fieldsOf(JSON.parse(await response.text())) }
}

interface Told {
  readonly errors?: readonly { readonly field: string }[]
  /** Of a batch, whose events have their own. */
  readonly results?: readonly { readonly index: number; readonly error?: Told }[]
}

function fieldsOf({ errors = [], results = [] }: Told): readonly string[] {
  const ofEvents = results.flatMap(({ index, error }) => {
    if (error === undefined) return []
    return [`[${index}]`, ...fieldsOf(error).map((field) => `[${index}].${field}`)]
  })
  return [...errors.map(({ field }) => field), ...ofEvents]
}

type Got = Awaited<ReturnType<typeof send>>

/** What was not as it has to be, of one route; told all at once. */
const wrong: string[] = []

/** 400, and by the field's name, or by that of what it is in or what is in it; the body as a whole has none. */
function expectNamed({ status, fields }: Got, field: string, why: string): void {
  const isNamed = field === "" || fields.some((each) => isWithin(each, field) || (each !== "" && isWithin(field, each)))
  const isRefused = status === 400 || (status === 413 && field === "")
  if (!isRefused || !isNamed) wrong.push(`${why}: ${status}, naming ${JSON.stringify(fields.slice(0, 5))}`)
}

function expectStatus({ status }: Got, statuses: readonly number[], why: string): void {
  if (!statuses.includes(status)) wrong.push(`${why}: ${status}`)
}

function isWithin(field: string, outer: string): boolean {
  return field === outer || outer === "" || field.startsWith(`${outer}.`) || field.startsWith(`${outer}[`)
}

/** Everything that a request could have changed; how destinations fare changes by itself. */
async function snapshot(): Promise<unknown> {
  const lists = ["topics", "triggers", "destinations", "schedules", "dead-letters"].map(async (name) => [
    name,
    (await hub.call("GET", `/v1/${name}?pageSize=1000`)).body.items.map((item: object) => ({
      ...item,
      status: undefined,
    })),
  ])
  const events = (await hub.call("GET", "/v1/topics/orders/events?limit=10000")).text
  return [await Promise.all(lists), events]
}

const deep = 10_000
const strangers = (count: number) => Array.from({ length: count }, (_, n) => `"stranger${n}":${n}`).join(",")
const strangerCounts = [1, 99, 101, 10_000]

const deepValues = [`${"[".repeat(deep)}${"]".repeat(deep)}`, `${'{"a":'.repeat(deep)}1${"}".repeat(deep)}`]

/** JSON texts of every kind, of which a place takes some and has to refuse the others. */
const values: readonly string[] = [
  "null",
  "true",
  "5",
  "-1",
  "0",
  "1.5",
  "1e308",
  "9007199254740993",
  '""',
  '"\\u0000"',
  '" ../../x,\\u0085"',
  '"__proto__"',
  JSON.stringify("x".repeat(100_000)),
  "[]",
  "[[]]",
  "[null]",
  `[${"1,".repeat(10_000)}1]`,
  "{}",
  '{"__proto__":{"id":"x"}}',
  '{"constructor":{"prototype":{}}}',
  `{${strangers(101)}}`,
  ...deepValues,
]

const parsed = new Map(values.map((text) => [text, JSON.parse(text) as unknown]))

/** What may become of a request that the reference has nothing against. */
const taken = [200, 201, 202, 400, 404, 409, 412]

const mark = "here it goes"

function textWith(place: Place, value: string): string {
  return JSON.stringify(place.wrap(mark)).replace(JSON.stringify(mark), () => value)
}

/** The bodies whose fields the reference describes: its content type, and what it is one of. */
function bodiesOf({ requestBody }: Operation): readonly { readonly type: string; readonly schema: Schema }[] {
  const contents = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) => ({ type, schema }))
  return contents.filter(({ schema }) => {
    const of = requests.at(schema)
    return [of.properties, of.items, of.anyOf, of.oneOf].some((each) => each !== undefined)
  })
}

/** An event's JSON that is none, nested too deep among it, is refused as a whole, with the byte where it breaks. */
function isBrokenEvent({ operationId }: Operation, value: string): boolean {
  return operationId === "publishEvents" && deepValues.includes(value)
}

/** The rest of the content types: lines of events, and data of any kind. */
const fieldless = ["application/x-ndjson", "*/*"]

function excerpt(text: string): string {
  return text.length > 120 ? `${text.slice(0, 60)} … ${text.slice(-40)}` : text
}

async function checkBodies(operation: Operation): Promise<void> {
  for (const { type, schema } of bodiesOf(operation)) {
    for (const place of requests.places(schema)) {
      for (const value of values) {
        const body = textWith(place, value)
        const isValid = requests.valid(schema, place.wrap(parsed.get(value)))
        if (isValid && !isHarmless(operation)) continue
        const got = await send(operation, { type, body })
        const why = `${type} ${place.field}: ${excerpt(value)}`
        if (isValid) expectStatus(got, taken, why)
        else expectNamed(got, isBrokenEvent(operation, value) ? "" : place.field, why)
      }
    }
  }
}

/** Where a text or a number will do as well, the object is an empty one. */
function textOf(sample: unknown): string {
  return typeof sample === "object" && sample !== null ? JSON.stringify(sample) : "{}"
}

/** Whether it is an object that has no members but those it names. */
function isStrict(schema: Schema): boolean {
  const { additionalProperties, anyOf, oneOf } = requests.at(schema)
  return additionalProperties === false || ((anyOf ?? oneOf ?? []) as readonly Schema[]).some(isStrict)
}

async function checkStrangers(operation: Operation): Promise<void> {
  for (const { type, schema } of bodiesOf(operation)) {
    const objects = requests.places(schema).filter((place) => isStrict(place.schema))
    for (const place of objects) {
      const inner = textOf(requests.sample(place.schema)).slice(1, -1)
      for (const members of [...strangerCounts.map(strangers), '"__proto__":1', '"__proto__":{"id":"x"}']) {
        const body = textWith(place, `{${[inner, members].filter((each) => each !== "").join(",")}}`)
        expectNamed(await send(operation, { type, body }), place.field, `${place.field}: ${excerpt(members)}`)
      }
    }
  }
}

async function checkQuery(operation: Operation): Promise<void> {
  const params = operation.parameters.filter((each) => each.in === "query")
  const body = bodyOf(operation)
  for (const param of params) {
    for (const value of ["", "x", "-1", "0", "1.5", "99999999999999999999", "%00", "x".repeat(5_000)]) {
      await checkParameter(operation, param, value, { ...body, query: `${param.name}=${value}` })
    }
    const query = `${param.name}=${value(param)}&${param.name}=${value(param)}`
    expectNamed(await send(operation, { ...body, query }), param.name, `${param.name} twice`)
  }
  if (isOpen(operation)) return
  for (const count of [1, 99, 101, 800]) {
    const query = Array.from({ length: count }, (_, n) => `stranger${n}=1`).join("&")
    expectNamed(await send(operation, { ...body, query }), "stranger0", `${count} parameters that are not known`)
  }
  for (const name of ["__proto__", "constructor", "toString"]) {
    expectNamed(await send(operation, { ...body, query: `${name}=1` }), name, `a parameter ${name}`)
  }
}

function value({ schema }: Parameter): string {
  return encodeURIComponent(String(requests.sample(schema)))
}

/** The probes take what probes send, and what is published takes what readers send. */
function isOpen({ path }: Operation): boolean {
  return path === "/healthz" || path === "/readyz" || /^\/(\.well-known|v1\/handshakes)\//.test(path)
}

function bodyOf(operation: Operation): Sent {
  const [body] = bodiesOf(operation)
  return body === undefined ? {} : { type: body.type, body: JSON.stringify(requests.sample(body.schema)) }
}

async function checkParameter(operation: Operation, { schema, name }: Parameter, text: string, sent: Sent) {
  const asNumber = /^(integer|number)$/.test(String(schema.type)) && /^-?\d+(\.\d+)?$/.test(text)
  const isValid = requests.valid(schema, asNumber ? Number(text) : text)
  if (isValid && !isHarmless(operation)) return
  const got = await send(operation, sent)
  const why = `${name}: ${excerpt(text)}`
  if (isValid) expectStatus(got, taken, why)
  else expectNamed(got, name, why)
}

async function checkHeaders(operation: Operation): Promise<void> {
  for (const param of operation.parameters.filter((each) => each.in === "header")) {
    for (const text of ["", "nonsense", "x".repeat(5_000)]) {
      const raw = operation.operationId === "publishEvents" ? { type: "text/plain", body: "x" } : bodyOf(operation)
      await checkParameter(operation, param, text, { ...raw, headers: { [param.name]: text } })
    }
  }
}

async function checkPath(operation: Operation): Promise<void> {
  if (operation.operationId === "publishEvents") return
  for (const { name } of operation.parameters.filter((each) => each.in === "path")) {
    for (const text of ["..%2f..%2fx", "%00", "%zz", "__proto__", "constructor", "%F0%9F%98%80", "x".repeat(5_000)]) {
      const got = await send(operation, { ...bodyOf(operation), path: pathOf(operation.path, { [name]: text }) })
      // A PUT may make what has any id that is one.
      const isMade = operation.method === "PUT" && text === "constructor"
      expectStatus(got, [...(isMade ? [200] : []), 400, 404, 409, 414], `${name}: ${excerpt(text)}`)
    }
  }
}

describe.each(
  requests.operations.map((operation) => ({ ...operation, title: `${operation.method} ${operation.path}` })),
)("$title", (operation) => {
  test("its fields are known", () => {
    const types = Object.keys(operation.requestBody?.content ?? {})
    expect(
      [...bodiesOf(operation).map(({ type }) => type), ...types.filter((type) => fieldless.includes(type))].sort(),
    ).toEqual(types.sort())
  })

  test("what is wrong is refused by its name, and nothing of it is stored", async () => {
    const before = await snapshot()
    await checkBodies(operation)
    await checkStrangers(operation)
    await checkQuery(operation)
    await checkHeaders(operation)
    await checkPath(operation)
    if (operation.requestBody === undefined && operation.method !== "GET" && !isOpen(operation)) {
      const got = await send(operation, { type: "application/json", body: '{"stranger0":1}' })
      expectNamed(got, "stranger0", "a body where there is none")
    }
    if (operation.requestBody?.required) {
      expect((await send(operation, { type: bodyOf(operation).type! })).status).toBe(400)
    }
    expect(wrong.splice(0)).toEqual([])
    expect(await snapshot()).toEqual(before)
  })

  test("what is right is taken, and answered as the reference says", async () => {
    const { status, type, body } = await send(operation, bodyOf(operation))
    expect(status).toBeLessThan(500)
    expect(status).not.toBe(400)
    expect(operation.responses).toHaveProperty(String(status))
    if (body !== undefined) {
      const schema = operation.responses[status]!.content?.[type!]?.schema ?? {}
      expect([body, requests.valid(schema, body)]).toEqual([body, true])
    }
    // What was put back dies again, and is to be there for the next.
    if (operation.operationId.startsWith("redrive")) await letterId()
  })
})
