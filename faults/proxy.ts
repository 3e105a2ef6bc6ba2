import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** A TCP proxy in front of servers, which can cut what goes through it. */
export interface TcpProxy {
  readonly port: number
  /** Ends all connections, and refuses new ones until restore(). */
  cut(): Promise<void>
  restore(): Promise<void>
  close(): Promise<void>
}

/** Connections go to the given ports of this machine in turn. */
export async function startProxy(ports: readonly number[]): Promise<TcpProxy> {
  const open = new Set<Socket>()
  let turn = 0
  const server = createServer((near) => {
    const far = connect({ port: ports[turn++ % ports.length]!, host: "127.0.0.1", noDelay: true })
    near.setNoDelay(true)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one)
      one.pipe(other)
      one.on("error", () => other.destroy())
      one.on("close", () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1")
    await once(server, "listening")
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  const cut = async () => {
    const closed = once(server, "close")
    server.close()
    for (const socket of open) socket.resetAndDestroy()
    await closed
  }
  return {
    port,
    cut,
    restore: () => listen(port),
    close: async () => {
      if (server.listening) await cut()
    },
  }
}
