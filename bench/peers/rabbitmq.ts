import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connect } from "amqplib"
import { startBaseline } from "../process.ts"
import { atOnce, type PeerKind, type Work } from "./peer.ts"
import { firstLine, openFolder, startServer } from "./server.ts"

const [queue, port] = ["events", 15_673]
const url = `amqp://guest:guest@127.0.0.1:${port}`
const quorum = { durable: true, arguments: { "x-queue-type": "quorum" } }

/** A quorum queue with confirms, and a worker that acknowledges each. */
export const rabbitmq: PeerKind = {
  name: "RabbitMQ, quorum queue",
  version: () => firstLine("dpkg-query", "--show", "rabbitmq-server"),
  async open(receiverPort) {
    const folder = await openFolder("rabbitmq")
    const server = await startServer("rabbitmq-server", [], port, { env: environment(folder.path), cwd: folder.path })
    const connection = await connect(url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue, quorum)
    const worker = await startBaseline("worker.ts", "rabbitmq", url, String(receiverPort))
    return {
      publish: (body) =>
        new Promise<void>((resolve, reject) => {
          channel.sendToQueue(queue, body, { persistent: true }, (error) => (error ? reject(error) : resolve()))
        }),
      async stop() {
        await worker.stop()
        await connection.close()
        await server.stop()
        await folder.remove()
      },
    }
  },
}

/** A node of its own, away from one that the machine may run. */
function environment(path: string): NodeJS.ProcessEnv {
  for (const name of ["log", "mnesia"]) mkdirSync(join(path, name))
  const lines = [`listeners.tcp.local = 127.0.0.1:${port}`, "vm_memory_high_watermark.absolute = 1GiB"]
  writeFileSync(join(path, "rabbitmq.conf"), `${lines.join("\n")}\n`)
  writeFileSync(join(path, "plugins"), "[].\n")
  if (process.getuid?.() === 0) execFileSync("chown", ["-R", "rabbitmq:", path])
  return {
    ...process.env,
    HOME: path,
    RABBITMQ_NODENAME: "bench@localhost",
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_DIST_PORT: "25673",
    ERL_EPMD_ADDRESS: "127.0.0.1",
    ERL_EPMD_PORT: "14369",
    RABBITMQ_MNESIA_BASE: join(path, "mnesia"),
    RABBITMQ_LOG_BASE: join(path, "log"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(path, "plugins"),
    RABBITMQ_PID_FILE: join(path, "pid"),
    RABBITMQ_CONFIG_FILE: join(path, "rabbitmq"),
  }
}

export const work: Work = async (url, deliver) => {
  const channel = await (await connect(url)).createChannel()
  await channel.prefetch(atOnce)
  let number = 0
  await channel.consume(queue, (message) => {
    if (message !== null) void deliver(String(number++), message.content).then(() => channel.ack(message))
  })
  await new Promise(() => {})
}
