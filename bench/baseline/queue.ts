import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { eventText, nextId } from "../requests.ts"

/** The least that leases and settles: an array of events in memory, and a map of what is leased. Argument: how many events. */
const id = nextId()
const ready = Array.from({ length: Number(process.argv[2]) }, () => JSON.parse(eventText(id())) as { id: string })
const leased = new Map<string, { id: string }>()
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on("data", (chunk) => chunks.push(chunk))
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as { max?: number; settlements?: { lease: string }[] }
    response.writeHead(200, { "content-type": "application/json" })
    response.end(JSON.stringify({ items: request.url?.endsWith("/lease") ? lease(body.max ?? 1) : settle(body) }))
  })
})

function lease(max: number): readonly object[] {
  return ready.splice(Math.max(0, ready.length - max)).map((event) => {
    leased.set(event.id, event)
    return { lease: event.id, event }
  })
}

function settle({ settlements = [] }: { settlements?: { lease: string }[] }): readonly object[] {
  return settlements.map(({ lease }) => ({ lease, state: leased.delete(lease) ? "settled" : "lost" }))
}

server.listen(0, "127.0.0.1", () => console.log(`listening ${(server.address() as AddressInfo).port}`))
process.on("SIGTERM", () => process.exit())
