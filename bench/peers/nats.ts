import { AckPolicy, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { natsAvailable, startNats } from "../../src/testing/nats.ts"
import { startBaseline } from "../process.ts"
import { atOnce, type PeerKind, type Work } from "./peer.ts"
import { firstLine } from "./server.ts"

const [stream, subject, durable] = ["EVENTS", "events", "worker"]

/** JetStream alone, each write flushed before it is acknowledged, and a worker with a consumer that acknowledges each. */
export const nats: PeerKind = {
  name: "NATS JetStream, sync_interval: always",
  version: () => {
    const program = natsAvailable()
    return program === undefined ? undefined : firstLine(program, "--version")
  },
  async open(receiverPort) {
    const server = await startNats({ syncAlways: true })
    const connection = await connect({ servers: server.url })
    const manager = await jetstreamManager(connection)
    await manager.streams.add({ name: stream, subjects: [subject], storage: StorageType.File })
    await manager.consumers.add(stream, { durable_name: durable, ack_policy: AckPolicy.Explicit })
    const worker = await startBaseline("worker.ts", "nats", server.url, String(receiverPort))
    const client = jetstream(connection)
    return {
      publish: (body) => client.publish(subject, body),
      async stop() {
        await worker.stop()
        await connection.close()
        await server.stop()
      },
    }
  },
}

export const work: Work = async (url, deliver) => {
  const connection = await connect({ servers: url })
  const consumer = await jetstream(connection).consumers.get(stream, durable)
  let running = 0
  let free = () => {}
  for await (const message of await consumer.consume({ max_messages: atOnce * 4 })) {
    running++
    void deliver(String(message.seq), message.data).then(() => {
      message.ack()
      running--
      free()
    })
    if (running >= atOnce)
      await new Promise<void>((resolve) => {
        free = resolve
      })
  }
}
