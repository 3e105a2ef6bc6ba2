import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer, type RequestListener } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Agent, request } from "undici"
import type { Clock } from "../core/clock.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import { openEmbeddedDirectory } from "../engines/embedded/engine.ts"
import { createSystemChance, systemClock } from "../telemetry/clock.ts"
import { takeConnections } from "./direct.ts"
import { leaveContinueTo } from "./expectation.ts"
import { createIngest, type Ingest } from "./http.ts"
import { defaultLimits, type IngestLimits } from "./limits.ts"
import { createPublisher, type PublishCounts } from "./publish.ts"
import { openTopics, type Topics } from "./topics.ts"

/** What the tests of publishing differ in. */
export interface FixtureOptions {
  readonly limits?: Partial<IngestLimits>
  /** What bodies are timed by; default: the system's. */
  readonly clock?: Clock
  /** Room on the disk that publishing leaves free. */
  readonly reserveBytes?: number
  /** Whether node:http serves all of it, as it does where a publish is not of the plainest form. */
  readonly nodeOnly?: boolean
  /** Stands before each append: what it answers is awaited, what it throws is what the engine throws. */
  beforeAppend?(events: number): Promise<void> | void
}

/** The answer to a request, its JSON parsed. */
export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever was answered
  readonly body: any
}

/** The way in, on a real engine and a real server. */
export interface Fixture {
  readonly engine: Engine
  readonly topics: Topics
  readonly ingest: Ingest
  readonly bugs: readonly unknown[]
  readonly counts: readonly PublishCounts[]
  post(topic: string, headers: Record<string, string>, body?: string | Buffer | AsyncIterable<unknown>): Promise<Answer>
  /** What is stored on a topic, in order. */
  stored(topic: string, key?: string): Promise<readonly StoredEvent[]>
  /** A raw connection: what it is sent, and all it answered so far. */
  socket(): Promise<{ readonly socket: Socket; read(until: string): Promise<string> }>
  close(): Promise<void>
}

/** The key that the fixture takes; it is the tenant `default`'s. */
export const authorization = "Bearer good"

export async function openFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), "ingest-"))
  const stop = new AbortController()
  const { reserveBytes = 0 } = options
  const engine = await openEmbeddedDirectory(directory, { clock: systemClock, reserveBytes, segmentBytes: 4 << 20 })
  const { catalog } = engine
  const topics = await openTopics({ catalog, clock: systemClock, dedupeWindowMs: 60_000, stop: stop.signal })
  const bugs: unknown[] = []
  const counts: PublishCounts[] = []
  const ingest = openIngest(options, engine, topics, { bugs, counts })
  const server = await openServer(ingest, options.nodeOnly ?? false)
  return {
    engine,
    topics,
    ingest,
    bugs,
    counts,
    post: server.post,
    socket: server.socket,
    async stored(topic, key) {
      const where = { tenant: "default", topic, ...(key !== undefined && { key }) }
      const events: StoredEvent[] = []
      for await (const batch of engine.log.read({ where })) events.push(...batch.events)
      return events
    },
    async close() {
      await server.close()
      stop.abort()
      await topics.watching
      await engine.close()
      await rm(directory, { recursive: true })
    },
  }
}

function openIngest(
  options: FixtureOptions,
  engine: Engine,
  topics: Topics,
  told: { readonly bugs: unknown[]; readonly counts: PublishCounts[] },
): Ingest {
  const limits = { ...defaultLimits, ...options.limits }
  const observe = { published: (published: PublishCounts) => void told.counts.push(published) }
  const publisher = createPublisher({
    engine: { log: gated(engine, options.beforeAppend) },
    topics,
    clock: systemClock,
    chance: createSystemChance(),
    limits,
    observe,
  })
  const authorize = (header: string | undefined) => (header === authorization ? { tenant: "default" } : undefined)
  return createIngest({
    publisher,
    authorize,
    limits,
    clock: options.clock ?? systemClock,
    observe,
    onBug: (error) => told.bugs.push(error),
  })
}

async function openServer(ingest: Ingest, nodeOnly: boolean): Promise<Pick<Fixture, "post" | "socket" | "close">> {
  const listener: RequestListener = (req, res) => {
    if (ingest.handles(req)) ingest.handle(req, res)
    else res.writeHead(404).end("not here")
  }
  const server = createServer(listener)
  leaveContinueTo(server, listener)
  const direct = nodeOnly
    ? undefined
    : takeConnections(server, {
        clock: systemClock,
        keepAliveMs: 65_000,
        take: (request, reply) => ingest.takeDirect(request, reply),
      })
  await once(server.listen(0, "127.0.0.1"), "listening")
  const { port } = server.address() as AddressInfo
  const dispatcher = new Agent({ pipelining: 1 })
  const sockets: Socket[] = []
  return {
    async post(topic, headers, body) {
      const url = `http://127.0.0.1:${port}/v1/topics/${topic}/events`
      const all = { authorization, ...headers }
      const answer = await request(url, { method: "POST", headers: all, body: (body ?? null) as string, dispatcher })
      const text = await answer.body.text()
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: text.startsWith("{") ? JSON.parse(text) : text,
      }
    },
    async socket() {
      const socket = connect(port, "127.0.0.1")
      sockets.push(socket)
      await once(socket, "connect")
      return { socket, read: reader(socket) }
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      direct?.closeAll()
      server.closeAllConnections()
      server.close()
      await dispatcher.destroy()
    },
  }
}

function gated({ log }: Engine, before: FixtureOptions["beforeAppend"]): Engine["log"] {
  if (before === undefined) return log
  return new Proxy(log, {
    get(target, name) {
      if (name === "append") {
        return async (...call: Parameters<Engine["log"]["append"]>) => {
          await before(call[1].length)
          return target.append(...call)
        }
      }
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
}

/** Resolves with everything that was received, once it holds `until`; rejects when the connection ends before. */
function reader(socket: Socket): (until: string) => Promise<string> {
  let text = ""
  let ended = false
  let wake = () => {}
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1")
    wake()
  })
  socket.on("error", () => {})
  socket.on("close", () => {
    ended = true
    wake()
  })
  return async (until) => {
    while (!text.includes(until)) {
      if (ended) throw new Error(`the connection ended after ${JSON.stringify(text)}`)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return text
  }
}
