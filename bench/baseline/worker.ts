import type { Work } from "../peers/peer.ts"
import { openSignedPost } from "./signed-post.ts"

/** The worker that one writes beside a queue: takes events, signs them, posts them. Arguments: peer, address, receiver's port. */
const [peer, address, port] = process.argv.slice(2) as [string, string, string]
const { work } = (await import(`../peers/${peer}.ts`)) as { work: Work }

process.on("SIGTERM", () => process.exit())
console.log("listening 0")
await work(address, openSignedPost(Number(port)))
