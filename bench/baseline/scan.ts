import { open, readdir } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { crc32 } from "node:zlib"

/** The least a checked scan can do: read every file of a directory in blocks of 256 KiB, and take their CRC32. */
async function scan(directory: string): Promise<number> {
  const startedAt = performance.now()
  for (const name of (await readdir(directory)).filter((file) => file.endsWith(".segment"))) {
    const file = await open(join(directory, name))
    // Ends: with the file.
    for (;;) {
      const block = Buffer.allocUnsafeSlow(256 * 1024)
      const { bytesRead } = await file.read(block, 0, block.length)
      if (bytesRead === 0) break
      crc32(block)
    }
    await file.close()
  }
  return performance.now() - startedAt
}

const server = createServer(async (_, response) => response.end(JSON.stringify({ ms: await scan(process.argv[2]!) })))
server.listen(0, "127.0.0.1", () => console.log(`listening ${(server.address() as AddressInfo).port}`))
process.on("SIGTERM", () => process.exit())
