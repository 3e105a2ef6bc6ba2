import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Rhythm } from "./rhythm.ts"

/** A webhook that counts what it takes. Each of its paths is a trigger. */
export interface Receiver {
  /** `http://127.0.0.1:port` */
  readonly url: string
  /** How often each event was taken (answered 2xx), by trigger and by the event's id. */
  readonly taken: ReadonlyMap<string, ReadonlyMap<string, number>>
  /** Deliveries, without repeated ones. */
  readonly count: number
  /** Of deliveries, by trigger, without repeated ones. */
  readonly rhythm: Rhythm
  close(): Promise<void>
}

/** One in so many requests is answered 503, so that deliveries are tried again under faults too. */
const refusedEvery = 40

export async function startReceiver(): Promise<Receiver> {
  const taken = new Map<string, Map<string, number>>()
  const rhythm = new Rhythm()
  const tally = { count: 0, requests: 0 }
  const note = (trigger: string, id: string) => {
    const events = taken.get(trigger) ?? new Map<string, number>()
    taken.set(trigger, events)
    const before = events.get(id) ?? 0
    events.set(id, before + 1)
    if (before > 0) return
    tally.count++
    rhythm.note(trigger, performance.now())
  }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    request.resume()
    request.once("end", () => {
      const refused = ++tally.requests % refusedEvery === 0
      if (!refused) note(request.url!.slice(1), String(request.headers["ce-id"]))
      response.writeHead(refused ? 503 : 204).end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken,
    rhythm,
    get count() {
      return tally.count
    },
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
