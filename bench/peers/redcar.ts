import { connect, type Socket } from "node:net"
import { version } from "../../src/version.ts"
import { isWhole } from "../load.ts"
import { startHubProcess } from "../process.ts"
import { nextId } from "../requests.ts"
import { atOnce, type PeerKind } from "./peer.ts"

/** The hub as it is started without any setting: one trigger, one webhook. */
export const redcar: PeerKind = {
  name: "Redcar",
  version: () => version,
  async open(receiverPort) {
    const hub = await startHubProcess()
    const config = { url: `http://127.0.0.1:${receiverPort}/hook` }
    await hub.call("POST", "/v1/destinations", { id: "hook", kind: "webhook", config, concurrency: atOnce })
    await hub.call("POST", "/v1/triggers", { id: "hook", topic: "events", destination: "hook" })
    const client = new Client(hub.port)
    const id = nextId()
    const head =
      `POST /v1/topics/events/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${hub.key}\r\n` +
      "Content-Type: application/json\r\nce-specversion: 1.0\r\nce-source: /bench\r\nce-type: order.created\r\n"
    return {
      publish: (body) =>
        client.send(Buffer.from(`${head}ce-id: ${id()}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)),
      async stop() {
        client.close()
        await hub.stop()
      },
    }
  },
}

/** HTTP over kept connections, at the least cost, as the other peers' clients have their own protocols. */
class Client {
  readonly #port: number
  readonly #free: Socket[] = []
  readonly #all = new Set<Socket>()

  constructor(port: number) {
    this.#port = port
  }

  send(request: Buffer): Promise<void> {
    const socket = this.#free.pop() ?? this.#open()
    return new Promise((resolve, reject) => {
      let held: Buffer | undefined
      const take = (bytes: Buffer) => {
        held = held === undefined ? bytes : Buffer.concat([held, bytes])
        if (!isWhole(held)) return
        socket.off("data", take).off("close", lost)
        this.#free.push(socket)
        if (held[9] === 0x32) resolve()
        else reject(new Error(held.toString()))
      }
      const lost = () => reject(new Error("the connection was lost before the answer"))
      socket.on("data", take).once("close", lost)
      socket.write(request)
    })
  }

  close(): void {
    for (const socket of this.#all) socket.destroy()
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true })
    this.#all.add(socket)
    // The hub lets go of connections that are idle.
    socket.on("error", () => undefined)
    socket.once("close", () => {
      this.#all.delete(socket)
      const at = this.#free.indexOf(socket)
      if (at >= 0) this.#free.splice(at, 1)
    })
    return socket
  }
}
