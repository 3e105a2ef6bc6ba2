import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/**
 * Counts the events that it receives, and how old it was: the body begins with `{"sentAt":<Unix ms with fraction>`. `GET /` answers
 * the counts and starts anew. Paths under /hang are never answered.
 */
const seen = { count: 0, ages: [] as number[] }
const now = () => performance.timeOrigin + performance.now()

const server = createServer((request, response) => {
  if (request.url!.startsWith("/hang")) return void request.resume()
  if (request.method === "GET") {
    response.end(JSON.stringify(seen))
    seen.count = 0
    seen.ages = []
    return
  }
  request.once("data", (chunk: Buffer) => {
    const sentAt = /^\{"sentAt":(\d+\.\d+)/.exec(chunk.toString("latin1", 0, 40))?.[1]
    if (sentAt !== undefined) seen.ages.push(now() - Number(sentAt))
  })
  const isBatch = request.headers["content-type"]?.startsWith("application/cloudevents-batch+json") === true
  const chunks: Buffer[] = []
  request.on("data", (chunk: Buffer) => void (isBatch && chunks.push(chunk)))
  request.on("end", () => {
    seen.count += isBatch ? (JSON.parse(Buffer.concat(chunks).toString()) as readonly unknown[]).length : 1
    response.writeHead(204).end()
  })
})
server.listen(0, "127.0.0.1", () => console.log(`listening ${(server.address() as AddressInfo).port}`))
process.on("SIGTERM", () => process.exit())
