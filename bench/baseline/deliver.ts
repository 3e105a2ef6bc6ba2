import { randomUUID } from "node:crypto"
import { eventText } from "../requests.ts"
import { openSignedPost } from "./signed-post.ts"

/** A bare loop: sign, post, wait, 64 at a time. Arguments: the receiver's port, how many, and how many at a time instead. */
const [port, total, atOnce = 64] = process.argv.slice(2).map(Number) as [number, number, number?]
const post = openSignedPost(port)
const data = JSON.stringify((JSON.parse(eventText("bench")) as { data: unknown }).data)
const counter = { sent: 0 }

async function send(): Promise<void> {
  while (counter.sent < total) {
    counter.sent++
    await post(randomUUID(), data)
  }
}

console.log("listening 0")
await Promise.all(Array.from({ length: atOnce }, send))
process.on("SIGTERM", () => process.exit())
setInterval(() => {}, 1_000)
