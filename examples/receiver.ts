import { createHmac, timingSafeEqual } from "node:crypto"
import { createServer } from "node:http"

/**
 * A webhook receiver, whole: checks the signature (Standard Webhooks), prints the event, answers 204.
 *
 *     node examples/receiver.ts whsec_…        listens on 127.0.0.1:9001
 */
const secret = process.argv[2]
const port = Number(process.env.PORT ?? 9001)
/** Twice what a hub's largest event has, unless its limits are set otherwise. */
const bodyBytesMax = 1024 * 1024

/** Whether one of the signatures is right for this id, time and body, and the time less than five minutes away. */
function isSigned(headers: Readonly<Record<string, string | string[] | undefined>>, body: Buffer): boolean {
  if (secret === undefined) return true
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers
  if (typeof id !== "string" || typeof timestamp !== "string" || typeof signatures !== "string") return false
  if (id === "" || !/^\d{1,12}$/.test(timestamp)) return false
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64")
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest()
  return signatures
    .split(" ")
    .filter((signature) => signature.startsWith("v1,"))
    .map((signature) => Buffer.from(signature.slice("v1,".length), "base64"))
    .some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected))
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  let bytes = 0
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= bodyBytesMax) chunks.push(chunk)
    else if (!response.headersSent) response.writeHead(413, { connection: "close" }).end()
  })
  request.on("end", () => {
    const body = Buffer.concat(chunks)
    if (response.headersSent) return
    if (!isSigned(request.headers, body)) {
      console.log("refused: the signature is wrong")
      response.writeHead(401).end()
      return
    }
    console.log(`${request.headers["ce-type"]} ${request.headers["ce-id"]}: ${body}`)
    response.writeHead(204).end()
  })
})
server.on("error", (error: NodeJS.ErrnoException) => {
  const why = error.code === "EADDRINUSE" ? `port ${port} is taken; choose another: PORT=${port + 1}` : error.message
  console.error(`cannot wait for webhooks: ${why}`)
  process.exitCode = 1
})
server.listen(port, "127.0.0.1", () => console.log(`waiting for webhooks on http://127.0.0.1:${port}`))
