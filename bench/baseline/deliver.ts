import { createHmac, randomUUID } from "node:crypto"
import { Pool } from "undici"
import { eventText } from "../requests.ts"

/** A bare loop: sign, post, wait, 64 at a time. Arguments: the receiver's port, how many. */
const [port, total] = process.argv.slice(2).map(Number) as [number, number]
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 64, pipelining: 1 })
const secret = Buffer.from("bench secret bench secret bench!")
const data = JSON.stringify((JSON.parse(eventText("bench")) as { data: unknown }).data)
const counter = { sent: 0 }

async function send(): Promise<void> {
  while (counter.sent < total) {
    counter.sent++
    const id = randomUUID()
    const timestamp = Math.floor(Date.now() / 1000)
    const signature = createHmac("sha256", secret).update(`${id}.${timestamp}.${data}`).digest("base64")
    const { body } = await pool.request({
      path: "/hook",
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": `v1,${signature}`,
      },
      body: data,
    })
    await body.dump()
  }
}

console.log("listening 0")
await Promise.all(Array.from({ length: 64 }, send))
process.on("SIGTERM", () => process.exit())
setInterval(() => {}, 1_000)
