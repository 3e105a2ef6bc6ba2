import { Redis } from "ioredis"
import { startBaseline } from "../process.ts"
import { atOnce, type PeerKind, type Work } from "./peer.ts"
import { firstLine, openFolder, startServer } from "./server.ts"

const [stream, group, port] = ["events", "workers", 16_379]

/** A stream that is flushed at each write, and a worker with a consumer group that acknowledges each. */
export const redis: PeerKind = {
  name: "Redis streams, appendfsync always",
  version: () => firstLine("redis-server", "--version"),
  async open(receiverPort) {
    const folder = await openFolder("redis")
    const flags = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder.path, "--save", ""]
    const server = await startServer("redis-server", [...flags, "--appendonly", "yes", "--appendfsync", "always"], port)
    const client = new Redis({ port, enableAutoPipelining: true })
    await client.xgroup("CREATE", stream, group, "0", "MKSTREAM")
    const worker = await startBaseline("worker.ts", "redis", String(port), String(receiverPort))
    return {
      publish: (body) => client.xadd(stream, "*", "body", body),
      async stop() {
        await worker.stop()
        client.disconnect()
        await server.stop()
        await folder.remove()
      },
    }
  },
}

type Entries = readonly (readonly [Buffer, readonly (readonly [Buffer, readonly Buffer[]])[]])[]

export const work: Work = async (port, deliver) => {
  const [reading, acking] = [new Redis(Number(port)), new Redis({ port: Number(port), enableAutoPipelining: true })]
  let running = 0
  let free = () => {}
  // Ends: with the process.
  for (;;) {
    const from = ["STREAMS", stream, ">"] as const
    const read = await reading.xreadgroupBuffer(
      "GROUP",
      group,
      "w1",
      "COUNT",
      atOnce - running,
      "BLOCK",
      5_000,
      ...from,
    )
    for (const [id, [, body]] of (read as Entries | null)?.[0]?.[1] ?? []) {
      running++
      void deliver(id.toString(), body!)
        .then(() => acking.xack(stream, group, id))
        .then(() => {
          running--
          free()
        })
    }
    if (running >= atOnce)
      await new Promise<void>((resolve) => {
        free = resolve
      })
  }
}
