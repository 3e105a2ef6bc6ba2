import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import type { Engine } from "../../../core/engine.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import type { Nats } from "../../../testing/nats.ts"
import type { Harness } from "../../conformance/harness.ts"
import { connectNats } from "../connection.ts"
import { silentLog } from "../log.fixture.ts"
import { createNames } from "../names.ts"
import { type JetStreamLog, type JetStreamLogOptions, openJetStreamLog } from "./log.ts"

export type LogSettings = Partial<Omit<JetStreamLogOptions, "nats" | "names">> & { readonly prefix: string }

/** A log with a connection of its own, as a process has it. */
export interface OpenLog {
  readonly nats: NatsConnection
  readonly log: JetStreamLog
  readonly directory: string
  close(): Promise<void>
}

/** Opens a log as one more process would. */
export async function openLog(servers: Nats, { prefix, ...settings }: LogSettings): Promise<OpenLog> {
  const nats = await connectNats({ servers: servers.url.split(","), log: silentLog })
  const directory = settings.directory ?? mkdtempSync(join(tmpdir(), "redcar-log-"))
  const log = await openJetStreamLog({
    nats,
    names: createNames(prefix),
    partitions: 1,
    replicas: servers.servers.length,
    dedupeWindowMsMax: 3_600_000,
    pendingBytesMax: 64 << 20,
    clock: systemClock,
    log: silentLog,
    ...settings,
    directory,
  })
  const close = async () => {
    await log.close()
    await nats.close()
    if (settings.directory === undefined) rmSync(directory, { recursive: true, force: true })
  }
  return { nats, log, directory, close }
}

/** The log alone as an engine: it has nothing else. */
function engineOf(log: JetStreamLog): Engine {
  return { log } as unknown as Engine
}

/** A harness on a prefix of its own. A crash drops the log and the connection as they are. */
export function logHarness(servers: Nats, prefix: string): Harness<Engine> {
  const open: OpenLog[] = []
  const start = async () => {
    const opened = await openLog(servers, { prefix })
    open.push(opened)
    return engineOf(opened.log)
  }
  return {
    open: start,
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    async crash() {
      await open.at(-1)!.nats.close()
      return start()
    },
    async dispose() {
      for (const one of open.splice(0)) await one.close()
    },
  }
}
