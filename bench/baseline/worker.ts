import { createHmac } from "node:crypto"
import { Pool } from "undici"
import { atOnce, type Deliver, type Work } from "../peers/peer.ts"

/** The worker that one writes beside a queue: takes events, signs them, posts them. Arguments: peer, address, receiver's port. */
const [peer, address, port] = process.argv.slice(2) as [string, string, string]
const { work } = (await import(`../peers/${peer}.ts`)) as { work: Work }
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: atOnce, pipelining: 1 })
const secret = Buffer.from("bench secret bench secret bench!")

const deliver: Deliver = async (id, body) => {
  const timestamp = Math.floor(Date.now() / 1000)
  const signature = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest("base64")
  const answer = await pool.request({
    path: "/hook",
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${signature}`,
    },
    body: Buffer.from(body),
  })
  await answer.body.dump()
  if (answer.statusCode >= 300) throw new Error(`the receiver answered ${answer.statusCode}`)
}

process.on("SIGTERM", () => process.exit())
console.log("listening 0")
await work(address, deliver)
