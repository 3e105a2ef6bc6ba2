import { createHmac } from "node:crypto"
import { Pool } from "undici"

const secret = Buffer.from("bench secret bench secret bench!")

/** Posts bodies to the receiver on this port, each signed as Standard Webhooks says, 64 at a time at most; throws where it is refused. */
export function openSignedPost(port: number): (id: string, body: string | Uint8Array) => Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 64, pipelining: 1 })
  return async (id, body) => {
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
      body: typeof body === "string" ? body : Buffer.from(body),
    })
    await answer.body.dump()
    if (answer.statusCode >= 300) throw new Error(`the receiver answered ${answer.statusCode}`)
  }
}
