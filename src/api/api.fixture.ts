import { mkdtemp, rm } from "node:fs/promises"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Caller } from "../access/authorize.ts"
import type { Clock } from "../core/clock.ts"
import type { TenantCredentials } from "../core/credentials.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { Event } from "../core/event.ts"
import { destinationKinds } from "../destinations/index.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSystemChance, systemClock } from "../telemetry/clock.ts"
import { Reference } from "./answers.fixture.ts"
import { type ApiOptions, createApi } from "./api.ts"
import type { ApiFigures } from "./context.ts"

/** An answer, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  readonly body: any
  readonly text: string
}

/** A hub's API that listens, over an engine on a temporary directory. */
export interface TestApi {
  readonly url: string
  readonly engine: Engine
  /** Ends streams. */
  readonly stop: AbortController
  /** As tenant `default`, unless the headers name another key: `Bearer other` is of tenant `other`. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Appends events of the ids given to a topic (`orders` or `orders:1`), which is made where it is not there. */
  append(topic: string, ids: readonly string[], data?: Uint8Array): Promise<readonly Cursor[]>
  /** What its clients cost at present. */
  figures(): ApiFigures
  /** The server's routes as a tree. */
  routes(): string
  close(): Promise<void>
}

/** Who the keys are: the operator, another key of its tenant, and one of another tenant. */
export const callers: Readonly<Record<string, Caller>> = {
  "Bearer admin": { tenant: "default", key: "admin", rights: ["operate"] },
  "Bearer reader": { tenant: "default", key: "reader", rights: [] },
  "Bearer other": { tenant: "other", key: "other", rights: [] },
}

export interface TestApiOptions extends Partial<ApiOptions> {
  readonly clock?: Clock
  /** The embedded engine has none of its own. */
  readonly credentials?: TenantCredentials
}

export async function openTestApi({ credentials, ...options }: TestApiOptions = {}): Promise<TestApi> {
  const clock = options.clock ?? systemClock
  const directory = await mkdtemp(join(tmpdir(), "redcar-api-"))
  const embedded = await openEmbeddedDirectory(directory, { clock, segmentBytes: 4 << 20 })
  const engine: Engine = credentials === undefined ? embedded : { ...embedded, credentials }
  const stop = new AbortController()
  const watched: (() => ApiFigures)[] = []
  const guard = { allowLoopback: true, allowPrivate: false, allow: [] }
  const api = await createApi({
    engine,
    clock,
    chance: createSystemChance(clock),
    authorize: (header) => callers[header ?? ""],
    kinds: destinationKinds({ clock, guard }),
    version: "0.0.0-test",
    stop: stop.signal,
    topics: { autoCreate: true, dedupeWindowMs: 86_400_000 },
    watch: (read) => watched.push(read),
    ...options,
  })
  await api.listen({ host: "127.0.0.1", port: 0 })
  const url = `http://127.0.0.1:${(api.server.address() as AddressInfo).port}`
  const routes = () => api.printRoutes({ commonPrefix: false })
  const call = caller(url, () => referenceOf(url, routes()))
  return {
    url,
    engine,
    stop,
    call,
    async append(topic, ids, data) {
      const [id, key] = topic.split(":") as [string, string?]
      await call("POST", "/v1/topics", { id })
      const address = { tenant: "default", topic: id, ...(key !== undefined && { key }) }
      const appended = await engine.log.append(
        address,
        ids.map((each) => testEvent(each, data)),
      )
      return appended.map(({ cursor }) => cursor)
    },
    figures: () => watched[0]!(),
    routes,
    async close() {
      stop.abort()
      api.server.closeAllConnections()
      await api.close()
      await engine.close()
      await rm(directory, { recursive: true })
    },
  }
}

/** An event with this id, of source `/test`. */
export function testEvent(id: string, data: Uint8Array = Buffer.from('{"a":1}')): Event {
  const attributes = {
    specversion: "1.0",
    id,
    source: "/test",
    type: `test.${id}`,
    datacontenttype: "application/json",
  }
  return Event.of(attributes, data, "json")
}

/** The references of hubs, by their routes. */
const references = new Map<string, Promise<Reference>>()

function referenceOf(url: string, routes: string): Promise<Reference> {
  const known = references.get(routes)
  if (known !== undefined) return known
  const made = fetch(`${url}/v1/openapi.json`).then(async (answer) => new Reference(await answer.text()))
  references.set(routes, made)
  return made
}

/** Every answer is held against the reference: its status is in it, and its body is as it says. */
function caller(url: string, reference: () => Promise<Reference>): TestApi["call"] {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: "Bearer admin",
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      redirect: "manual",
      ...(body !== undefined && {
        body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      }),
    })
    const { status } = response
    const type = response.headers.get("content-type")
    const text = await response.text()
    const unsaid = (await reference()).unsaid({ method, path, status, type, text })
    if (unsaid !== undefined) throw new Error(unsaid)
    const isJson = text !== "" && /json/.test(type ?? "") && !/ndjson/.test(type ?? "")
    return { status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text }
  }
}
