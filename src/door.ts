import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { takeConnections } from "./ingest/direct.ts"
import { leaveContinueTo } from "./ingest/expectation.ts"
import type { Ingest } from "./ingest/http.ts"
import { systemClock } from "./telemetry/clock.ts"

/**
 * The hub's server. It listens before there is a hub, and says how far the start is: whoever watches the process would take it
 * for dead, and end it, while it makes its state anew.
 */
export interface Door {
  readonly server: Server
  /** Listens, and answers where: `http://127.0.0.1:9000`. */
  open(host: string, port: number): Promise<string>
  /** What the start is at, for people. */
  tell(step: string): void
  /** Gives all requests to the hub from now on; on new connections, publishes to `ingest` first, where there is one. */
  lead(listener: RequestListener, ingest?: Ingest): void
  /** Listens no more, and ends each connection as soon as nothing is under way on it; resolves when all have ended. */
  leave(): Promise<void>
  /** Cuts all connections. */
  close(): void
}

const keepAliveMs = 65_000
/** How often it is looked for connections that have become idle, while the hub stops. */
const sweepMs = 50
/** A client that neither sends nor takes anything for this long is cut off; what streams says something more often. */
const idleMs = 120_000

export function makeDoor(): Door {
  let step = "the hub is starting"
  let listener: RequestListener = (request, response) => {
    const { status, type, body } = answerOf(request.url ?? "", step)
    response
      .writeHead(status, { "content-type": type, connection: "close", ...(status === 503 && { "retry-after": "1" }) })
      .end(JSON.stringify(body))
  }
  let isLeaving = false
  const led: RequestListener = (request, response) => {
    // So that a client that always has another request does not hold up a stop.
    if (isLeaving) response.shouldKeepAlive = false
    listener(request, response)
  }
  const server = createServer({ keepAliveTimeout: keepAliveMs, noDelay: true }, led).setTimeout(idleMs)
  leaveContinueTo(server, led)
  // That a connection cannot be taken, since too many files are open, ends nothing; the log tells of it (telemetry/descriptors.ts).
  server.on("error", () => {})
  let publishes: Ingest | undefined
  const direct = takeConnections(server, {
    clock: systemClock,
    keepAliveMs,
    take: (request, reply) => publishes?.takeDirect(request, reply) ?? false,
  })
  return {
    server,
    open: (host, port) => listen(server, host, port),
    tell(text) {
      step = text
    },
    lead(to, ingest) {
      listener = to
      publishes = ingest
    },
    async leave() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      isLeaving = true
      direct.closeIdle()
      const stopSweeping = every(sweepMs, () => server.closeIdleConnections())
      await closed
      stopSweeping()
    },
    close() {
      server.close()
      direct.closeAll()
      server.closeAllConnections()
    },
  }
}

/** Does something now and again and again, until what it answers is called. */
function every(ms: number, work: () => void): () => void {
  let cancel = () => {}
  const go = () => {
    work()
    cancel = systemClock.after(ms, go)
  }
  go()
  return () => cancel()
}

/** As the hub itself answers, in what there is to say yet. */
function answerOf(url: string, step: string) {
  const json = "application/json; charset=utf-8"
  const path = url.split("?", 1)[0]
  if (path === "/healthz") return { status: 200, type: json, body: { status: "ok" } }
  if (path === "/readyz")
    return { status: 503, type: json, body: { ready: false, reasons: [step], degraded: [], warnings: [], held: false } }
  const detail = `${step}; try again soon`
  const body = { type: "about:blank", title: "Service Unavailable", status: 503, code: "overloaded", detail }
  return { status: 503, type: "application/problem+json; charset=utf-8", body }
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off("error", reject)
      const { address, family, port } = server.address() as AddressInfo
      resolve(`http://${family === "IPv6" ? `[${address}]` : address}:${port}`)
    })
  })
}
