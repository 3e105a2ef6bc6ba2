import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { connectNats, NatsRefusedError } from "./connection.ts"
import { type JetStreamOptions, openJetStreamEngine } from "./engine.ts"
import { silentLog } from "./log.fixture.ts"
import { createNames } from "./names.ts"
import { plannedStreams, type StreamPlan } from "./plans.ts"
import { ask } from "./request.ts"
import { planScaling } from "./scale.ts"
import { findStream } from "./streams.ts"

const there = natsAvailable() !== undefined

describe.skipIf(!there)("streams that are there (skipped where there is no nats-server)", () => {
  let servers: Nats
  let nats: NatsConnection
  let home: string
  let prefixes = 0

  beforeAll(async () => {
    servers = await startNats({ servers: 3 })
    nats = await connectNats({ servers: servers.url.split(","), log: silentLog })
    home = mkdtempSync(join(tmpdir(), "redcar-streams-"))
  })
  afterAll(async () => {
    await nats?.close()
    await servers?.stop()
    rmSync(home, { recursive: true, force: true })
  })

  const options = (prefix: string, more: Partial<JetStreamOptions> = {}): JetStreamOptions => ({
    servers: servers.url.split(","),
    prefix,
    partitions: 2,
    replicas: 3,
    dedupeWindowMsMax: 600_000,
    directory: join(home, prefix),
    serveQueue: false,
    pendingBytesMax: 1 << 20,
    clock: systemClock,
    log: silentLog,
    ...more,
  })

  /** Scaling that asks for nothing but what this version needs. */
  const unchanged = (prefix: string) => ({
    servers: servers.url.split(","),
    prefix,
    clock: systemClock,
    log: silentLog,
  })

  const planned = (prefix: string) =>
    plannedStreams({ names: createNames(prefix), partitions: 2, replicas: 3, dedupeWindowMsMax: 600_000 })

  /** Every stream's configuration. */
  async function configs(prefix: string): Promise<readonly (StreamPlan | undefined)[]> {
    const found = await Promise.all(planned(prefix).map(({ name }) => findStream(nats, systemClock, name)))
    return found.map((each) => each?.config)
  }

  /** A hub's streams as its first start makes them. */
  async function made(): Promise<string> {
    const prefix = `hub${prefixes++}`
    const engine = await openJetStreamEngine(options(prefix))
    await engine.log.stats({ tenant: "acme", topic: "orders" })
    await engine.close()
    return prefix
  }

  let kept: Promise<string> | undefined
  /** The same for all tests that leave it as it is. */
  const unspoiled = () => (kept ??= made())

  async function refused(opened: Promise<unknown>): Promise<NatsRefusedError> {
    const error = await opened.then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(NatsRefusedError)
    return error as NatsRefusedError
  }

  const differing = [
    [
      { replicas: 1 },
      "num_replicas of KV_",
      "is 3, not 1",
      ["--nats-replicas 3", "redcar nats scale --nats-replicas 1"],
    ],
    [
      { dedupeWindowMsMax: 120_000 },
      "duplicate_window of ",
      "is 600s, not 120s",
      ["--nats-dedupe-window 600s", "redcar nats scale --nats-dedupe-window 120s"],
    ],
    [{ partitions: 3 }, "made with 2 partitions", "the settings say 3", ["nats.partitions to 2", "redcar migrate"]],
  ] as const
  test.each(differing)("are left as they are where the settings say %j", async (more, what, values, next) => {
    const prefix = await unspoiled()
    const before = await configs(prefix)
    const error = await refused(openJetStreamEngine(options(prefix, more)))
    expect(error.message).toContain(what)
    expect(error.message).toContain(values)
    for (const text of next) expect(error.next.join("\n")).toContain(text)
    expect(await configs(prefix)).toEqual(before)
    expect(before.every((config) => config?.num_replicas === 3)).toBe(true)
    const names = createNames(prefix)
    expect(await findStream(nats, systemClock, names.logStream(2))).toBeUndefined()
  })

  test("keep what an operator has set that the hub does not name, and are refused where it does; scaling mends it", async () => {
    const prefix = await made()
    const [catalog, , , log, , journal, , inbox, rejected] = await configs(prefix)
    const changed = [
      { ...catalog, allow_direct: false, allow_atomic: false, max_bytes: 1 << 30 },
      { ...log, allow_atomic: false },
      { ...journal, discard: "new", max_bytes: 1 << 30 },
      { ...inbox, max_msg_size: 1 << 20 },
      { ...rejected, max_age: 0 },
    ] as readonly StreamPlan[]
    for (const config of changed) await ask(nats, `STREAM.UPDATE.${config.name}`, config)
    const before = await configs(prefix)
    const { message } = await refused(openJetStreamEngine(options(prefix)))
    for (const text of ["allow_direct of KV_", "allow_atomic of KV_", "discard of HUB", "max_age of HUB"])
      expect(message).toContain(text)
    expect(message).not.toContain("max_bytes")
    expect(message).not.toContain("INBOX")
    expect(await configs(prefix)).toEqual(before)

    const scaling = await planScaling(unchanged(prefix))
    expect(scaling.steps.map(({ setting }) => setting)).toEqual([
      "allow_direct",
      "allow_atomic",
      "allow_atomic",
      "discard",
      "max_age",
    ])
    await scaling.apply(() => {})
    await scaling.close()
    const engine = await openJetStreamEngine(options(prefix))
    await engine.close()
    const [after] = await configs(prefix)
    expect(after).toMatchObject({ allow_direct: true, allow_atomic: true, max_bytes: 1 << 30, num_replicas: 3 })
  })

  test("are not made, and nothing else is, where what could be lost is not accepted", async () => {
    const prefix = `hub${prefixes++}`
    const accept = (warnings: readonly string[]) => {
      throw new NatsRefusedError(warnings.join())
    }
    const { message } = await refused(openJetStreamEngine(options(prefix, { replicas: 1, accept })))
    expect(message).toContain("a power cut can lose events")
    expect(await configs(prefix)).toEqual(planned(prefix).map(() => undefined))
    expect(existsSync(join(home, prefix))).toBe(false)
  })

  test("scaling changes what was asked for, of every stream; the hub's processes have to be stopped", async () => {
    const prefix = await made()
    const down = await planScaling({ ...unchanged(prefix), replicas: 1 })
    expect(down.steps.map(({ stream, setting, found, planned }) => [stream, setting, found, planned])).toEqual(
      planned(prefix).map(({ name }) => [name, "num_replicas", 3, 1]),
    )
    await down.apply(() => {})
    expect(await down.settled(20_000)).toEqual([])
    await down.close()

    const engine = await openJetStreamEngine(options(prefix, { replicas: 1, serveQueue: true }))
    const up = await planScaling({ ...unchanged(prefix), replicas: 3, dedupeWindowMs: 300_000 })
    expect((await refused(up.apply(() => {}))).message).toContain("a process of the hub runs")
    expect((await configs(prefix)).map((config) => config?.num_replicas)).toEqual(planned(prefix).map(() => 1))
    await engine.close()
    await up.apply(() => {})
    expect(await up.settled(20_000)).toEqual([])
    await up.close()
    const again = await openJetStreamEngine(options(prefix, { dedupeWindowMsMax: 300_000 }))
    await again.close()
  }, 60_000)

  test("what the servers cannot do is said with a next step: more copies than servers", async () => {
    const prefix = await unspoiled()
    const up = await planScaling({ ...unchanged(prefix), replicas: 5 })
    const error = await refused(up.apply(() => {}))
    await up.close()
    expect(error.message).toContain("NATS does not change the stream")
    expect(error.next.join()).toContain("as many servers")
    expect((await configs(prefix)).map((config) => config?.num_replicas)).toEqual(planned(prefix).map(() => 3))
  })

  test("there has to be a hub to scale", async () => {
    const { message } = await refused(planScaling({ ...unchanged("nobody"), replicas: 3 }))
    expect(message).toContain("nats.prefix nobody")
  })
})
