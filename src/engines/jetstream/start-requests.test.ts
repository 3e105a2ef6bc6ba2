import { mkdtempSync, rmSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test, vi } from "vitest"
import { startTestHub } from "../../hub.fixture.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { connectNats, NatsRefusedError } from "./connection.ts"
import { type JetStreamOptions, openJetStreamEngine } from "./engine.ts"
import { silentLog } from "./log.fixture.ts"
import { planScaling } from "./scale.ts"
import { openJetStreamSource } from "./source.ts"

// Most of them wait for a client to find out that its server hangs.
vi.setConfig({ maxConcurrency: 20 })

const there = natsAvailable() !== undefined
let starting: Promise<Nats | undefined> = Promise.resolve(undefined)

/** A server behind a relay, which stops it in place of giving it what holds `at`, and lets it go on when a client comes anew. */
async function startStopping(): Promise<Stopping> {
  // One after the other: ports that one is about to take are free for another.
  const started = starting.then(() => startNats())
  starting = started
  const nats = await started
  const [server] = nats.servers
  const open = new Set<Socket>()
  const stopping = { at: "", stops: 0, goesOn: true }
  const goOn = () => server!.kill("SIGCONT")
  const relay = createServer((near) => {
    if (stopping.stops > 0 && stopping.goesOn) void goOn()
    const far = connect({ port: server!.port, host: "127.0.0.1", noDelay: true })
    let sent = ""
    near.on("data", (bytes) => {
      sent = sent.slice(-100) + bytes.toString("latin1")
      if (stopping.at !== "" && sent.includes(stopping.at)) {
        stopping.at = ""
        stopping.stops++
        near.pause()
        void server!.kill("SIGSTOP")
      } else far.write(bytes)
    })
    far.pipe(near)
    for (const [one, other] of [[near, far] as const, [far, near] as const]) {
      open.add(one.on("error", () => other.destroy()).on("close", () => other.destroy()))
    }
  })
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve))
  const { port } = relay.address() as AddressInfo
  return Object.assign(stopping, {
    url: `nats://127.0.0.1:${port}`,
    async stop() {
      await goOn()
      for (const socket of open) socket.destroy()
      relay.close()
      await nats.stop()
    },
  })
}

interface Stopping extends Pick<Nats, "url" | "stop"> {
  /** What the server is stopped at, once; empty: nothing. */
  at: string
  stops: number
  /** Default true. */
  goesOn: boolean
}

describe
  .skipIf(!there)
  .concurrent("a start while a server stands still (skipped where there is no nats-server)", () => {
    const home = mkdtempSync(join(tmpdir(), "redcar-start-"))
    afterAll(() => rmSync(home, { recursive: true, force: true }))
    let directories = 0

    const options = ({ url }: Stopping, more: Partial<JetStreamOptions> = {}): JetStreamOptions => ({
      servers: [url],
      prefix: "hub",
      partitions: 1,
      replicas: 1,
      dedupeWindowMsMax: 600_000,
      directory: join(home, String(directories++)),
      serveQueue: false,
      pendingBytesMax: 1 << 20,
      clock: systemClock,
      log: silentLog,
      ...more,
    })

    async function madeBefore(server: Stopping): Promise<void> {
      const engine = await openJetStreamEngine(options(server))
      await engine.close()
    }

    const firsts = [
      "STREAM.INFO.",
      "STREAM.CREATE.KV_",
      "CONSUMER.CREATE.KV_",
      ".partitions",
      "CONSUMER.DURABLE.CREATE.",
    ]
    test.each(firsts)("bears it: the first start, at %s", async (at) => {
      const server = await startStopping()
      try {
        server.at = at
        const engine = await openJetStreamEngine(options(server))
        await engine.close()
        expect(server.stops).toBe(1)
      } finally {
        await server.stop()
      }
    })

    const nexts = [
      ["an engine's, at the partitions", "STREAM.MSG.GET.KV_", openJetStreamEngine],
      ["an engine's, at the streams", "STREAM.INFO.HUB", openJetStreamEngine],
      [
        "a source's",
        "STREAM.MSG.GET.KV_",
        (asked: JetStreamOptions) => openJetStreamSource({ ...asked, atRest: false }),
      ],
      ["that of a change of streams", "STREAM.MSG.GET.KV_", planScaling],
    ] as const
    test.each(nexts)("bears it: the next start, %s", async (_, at, open) => {
      const server = await startStopping()
      try {
        await madeBefore(server)
        server.at = at
        await (await open(options(server))).close()
        expect(server.stops).toBe(1)
      } finally {
        await server.stop()
      }
    })

    test.each(nexts.slice(1))("is refused with a next step where it does not end: %s", async (_, at, open) => {
      const server = await startStopping()
      try {
        await madeBefore(server)
        server.at = at
        server.goesOn = false
        const clock = { ...systemClock, now: () => systemClock.now() * 20 }
        const error = await open(options(server, { clock })).then(
          () => undefined,
          (error: unknown) => error,
        )
        expect(error).toBeInstanceOf(NatsRefusedError)
        expect((error as NatsRefusedError).message).toContain("NATS does not answer on $JS.API.STREAM.")
        expect((error as NatsRefusedError).next.join()).toContain("more than half of them")
      } finally {
        await server.stop()
      }
    })

    test("is refused where a bucket cannot be read to its end", async () => {
      const server = await startStopping()
      try {
        server.at = "CONSUMER.CREATE.KV_"
        server.goesOn = false
        const clock = { ...systemClock, after: hurried }
        const error = await openJetStreamEngine(options(server, { clock })).catch((error: unknown) => error)
        expect(error).toBeInstanceOf(NatsRefusedError)
        expect((error as NatsRefusedError).message).toContain("NATS does not tell what hub_catalog holds")
      } finally {
        await server.stop()
      }
    })

    /** Ten times as fast. */
    const hurried = (ms: number, run: () => void) => systemClock.after(ms / 10, run)

    test("a whole hub bears it where it looks at what its catalog holds", async () => {
      const server = await startStopping()
      try {
        server.at = "catalog.migration"
        const hub = await startTestHub({ engine: server.url, "nats.partitions": "1" })
        expect((await hub.call("GET", "/readyz")).status).toBe(200)
        await hub.stop()
        expect(server.stops).toBe(1)
      } finally {
        await server.stop()
      }
    })

    test("a server that takes the connection and greets only later is waited for", async () => {
      const server = await startStopping()
      try {
        server.at = "CONNECT "
        await (await connectNats({ servers: [server.url], log: silentLog })).close()
        expect(server.stops).toBe(1)
      } finally {
        await server.stop()
      }
    })

    test("credentials that are not there are named", async () => {
      const credentialsFile = join(home, "none.creds")
      const error = await connectNats({ servers: ["nats://127.0.0.1:1"], credentialsFile, log: silentLog }).catch(
        (e) => e,
      )
      expect(error).toBeInstanceOf(NatsRefusedError)
      expect(error.message).toBe(`${credentialsFile} cannot be read: there is no such file`)
    })
  })
