import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import { afterEach, expect, test } from "vitest"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { connectNats, durabilityWarnings, NatsRefusedError } from "./connection.ts"
import { silentLog } from "./log.fixture.ts"

const there = natsAvailable() !== undefined
const title = (text: string) => (there ? text : `${text} (skipped: there is no nats-server)`)

let nats: Nats | undefined
afterEach(async () => {
  await nats?.stop()
  nats = undefined
})

test("where nobody answers, it is said where, and what to do", async () => {
  const error = await connectNats({ servers: ["nats://127.0.0.1:1"], log: silentLog }).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(NatsRefusedError)
  expect((error as NatsRefusedError).message).toContain("nats://127.0.0.1:1")
  expect((error as NatsRefusedError).next.length).toBeGreaterThan(0)
})

/** Speaks as much of the protocol as a client needs to believe that it is connected. */
async function pretend(info: object) {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.write(`INFO ${JSON.stringify({ server_id: "S", max_payload: 1 << 20, ...info })}\r\n`)
    socket.on("data", (data) => {
      if (data.includes("PING")) socket.write("PONG\r\n")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { url: `nats://127.0.0.1:${port}`, close: () => server.close() }
}

test.each([
  [{ version: "2.9.10", jetstream: true, headers: true }, /version 2\.9\.10; Redcar needs 2\.12 or newer/],
  [{ version: "2.12.0", headers: true }, /without JetStream/],
  [{ version: "3.0.1", jetstream: true }, /no headers/],
])("a server that cannot do what is needed is refused: %j", async (info, why) => {
  const server = await pretend(info)
  await expect(connectNats({ servers: [server.url], log: silentLog })).rejects.toThrow(why)
  server.close()
})

test.skipIf(!there)(title("a server that takes less than the largest event is refused"), async () => {
  nats = await startNats({ config: "max_payload: 65536" })
  const connecting = connectNats({ servers: [nats.url], messageBytesMax: 100_000, log: silentLog })
  await expect(connecting).rejects.toThrow(/takes messages of 65536 bytes/)
})

test.skipIf(!there)(
  title("what could be lost is told: unless three keep it, or the disk is flushed each time"),
  async () => {
    nats = await startNats()
    const { monitor } = nats.servers[0]!
    expect(await durabilityWarnings({ replicas: 1, monitor })).toEqual([expect.stringContaining("only now and then")])
    expect(await durabilityWarnings({ replicas: 1 })).toEqual([expect.stringContaining("is not known here")])
    expect(await durabilityWarnings({ replicas: 3 })).toEqual([])
    await nats.stop()
    nats = await startNats({ syncAlways: true })
    expect(await durabilityWarnings({ replicas: 1, monitor: nats.servers[0]!.monitor })).toEqual([])
    expect(await durabilityWarnings({ replicas: 1, monitor: "http://127.0.0.1:1" })).toEqual([
      expect.stringContaining("does not answer"),
    ])
  },
)
