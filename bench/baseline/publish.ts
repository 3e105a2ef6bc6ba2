import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** The least a JSON endpoint can do on node:http: read the body, parse it (line by line for NDJSON), answer 202. */
const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on("data", (chunk) => chunks.push(chunk))
  request.on("end", () => {
    const text = Buffer.concat(chunks).toString()
    if (request.headers["content-type"] === "application/x-ndjson") {
      for (const line of text.split("\n")) if (line !== "") JSON.parse(line)
    } else JSON.parse(text)
    response.writeHead(202, { "content-type": "application/json" })
    response.end('{"accepted":true}')
  })
})
server.listen(0, "127.0.0.1", () => console.log(`listening ${(server.address() as AddressInfo).port}`))
process.on("SIGTERM", () => process.exit())
