import { createReadStream } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { eventText } from "../requests.ts"

/** Pipes a file of so many NDJSON events to whoever asks. */
const directory = await mkdtemp(join(tmpdir(), "redcar-bench-"))
const path = join(directory, "events.ndjson")
await writeFile(path, `${eventText("00000000000000000000")}\n`.repeat(Number(process.argv[2])))
const server = createServer((_, response) => {
  response.setHeader("content-type", "application/x-ndjson")
  createReadStream(path, { highWaterMark: 256 * 1024 }).pipe(response)
})
server.listen(0, "127.0.0.1", () => console.log(`listening ${(server.address() as AddressInfo).port}`))
process.on("SIGTERM", () => void rm(directory, { recursive: true }).finally(() => process.exit()))
