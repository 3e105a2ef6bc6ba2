import { randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { type Nats, startNats } from "../src/testing/nats.ts"
import { load } from "./load.ts"
import { type Measure, measure } from "./measure.ts"
import { type Running, type RunningHub, startBaseline, startHubProcess } from "./process.ts"
import { eventText, nextId, publishRequests } from "./requests.ts"

/** As many as can be in different partitions of the log, and lanes of the queue. */
const topics = Array.from({ length: 16 }, (_, i) => `t${i}`)

/** Processes of one hub, a webhook of each topic's, and what they share. */
interface Hubs {
  readonly hubs: readonly RunningHub[]
  readonly roles: readonly string[]
  readonly nats: Nats | undefined
  readonly receiver: Running
  readonly key: string
  stop(): Promise<void>
}

const all = "ingest,route,deliver,api"

/** One process for each of `roles`; `servers` 0 is the embedded engine. */
async function startHubs(servers: 0 | 1 | 3, roles: readonly string[]): Promise<Hubs> {
  const receiver = await startBaseline("receiver.ts")
  const nats = servers === 0 ? undefined : await startNats({ servers })
  const key = `rck_${randomBytes(32).toString("base64url")}`
  const engine = nats ? ["--engine", nats.url, "--nats-replicas", String(servers)] : []
  const hubs: RunningHub[] = []
  const stop = async () => {
    for (const hub of hubs) await hub.stop()
    await nats?.stop()
    await receiver.stop()
  }
  try {
    for (const role of roles) hubs.push(await startHubProcess(["--roles", role, ...engine], undefined, key))
    const [first] = hubs
    for (const id of topics) {
      await first!.call("POST", "/v1/topics", { id })
      const config = { url: `http://127.0.0.1:${receiver.port}/${id}` }
      await first!.call("POST", "/v1/destinations", { id, kind: "webhook", config, concurrency: 16 })
      await first!.call("POST", "/v1/triggers", { id, topic: id, destination: id })
    }
    return { hubs, roles, nats, receiver, key, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function takersOf({ hubs, roles }: Hubs): readonly RunningHub[] {
  return hubs.filter((_, i) => roles[i]!.includes("ingest"))
}

/** How many the receiver has had since it was asked last. */
async function received({ receiver }: Hubs): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${receiver.port}/`)
  return ((await answer.json()) as { readonly count: number }).count
}

async function untilReceived(hubs: Hubs, events: number): Promise<void> {
  const startedAt = performance.now()
  // Ends: after two minutes at the latest, by a throw.
  for (let count = 0; ; ) {
    count += await received(hubs)
    if (count >= events) return
    if (performance.now() - startedAt > 120_000) throw new Error(`only ${count} of ${events} arrived`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Single publishes at a steady rate, to all topics, through all that take them; answers how many were taken. */
async function publishSteadily(hubs: Hubs, perSecond: number, durationMs: number): Promise<number> {
  const takers = takersOf(hubs)
  const results = await Promise.all(
    takers.map(({ port }) => {
      const requests = topics.map((topic) => publishRequests({ key: hubs.key, topic }))
      let turn = 0
      const next = () => requests[turn++ % requests.length]!()
      return load({ port, connections: 8, durationMs, next, ratePerSecond: perSecond / takers.length })
    }),
  )
  const refused = results.reduce((sum, result) => sum + result.refused, 0)
  if (refused > 0) throw new Error(`${refused} publishes were refused`)
  return results.reduce((sum, { answered }) => sum + answered, 0)
}

/** NDJSON requests of 500, round the topics and those that take them. */
async function publishBacklog(hubs: Hubs, events: number): Promise<void> {
  const takers = takersOf(hubs)
  const id = nextId()
  const send = async (number: number) => {
    const { port } = takers[number % takers.length]!
    const answer = await fetch(`http://127.0.0.1:${port}/v1/topics/${topics[number % topics.length]}/events`, {
      method: "POST",
      headers: { authorization: `Bearer ${hubs.key}`, "content-type": "application/x-ndjson" },
      body: Array.from({ length: 500 }, () => eventText(id())).join("\n"),
    })
    await answer.arrayBuffer()
    if (answer.status !== 202) throw new Error(`publishing answered ${answer.status}`)
  }
  await Promise.all(Array.from({ length: events / 500 }, (_, number) => send(number)))
}

/** Milliseconds that a process has had of the processor. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8")
  // After the program's name, which may hold anything: fields 14 and 15 of them all, in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** By role of the hubs' processes, and `servers` for all NATS servers. */
async function cpuOf({ hubs, roles, nats }: Hubs): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>()
  const add = async (name: string, pid: number) => void sums.set(name, (sums.get(name) ?? 0) + (await cpuMs(pid)))
  for (const [i, { pid }] of hubs.entries()) await add(roles[i]!, pid)
  for (const { pid } of nats?.servers ?? []) await add("servers", pid!)
  return sums
}

/** Microseconds of the processor for each event that is published and delivered, by role. */
async function cpuPerEvent(hubs: Hubs, quick: boolean): Promise<ReadonlyMap<string, number>> {
  const [perSecond, durationMs] = [500, quick ? 4_000 : 20_000]
  await untilReceived(hubs, await publishSteadily(hubs, perSecond, 2_000))
  const before = await cpuOf(hubs)
  const events = await publishSteadily(hubs, perSecond, durationMs)
  await untilReceived(hubs, events)
  const after = await cpuOf(hubs)
  return new Map([...after].map(([name, ms]) => [name, ((ms - before.get(name)!) / events) * 1000]))
}

/** Events published and delivered per second of a backlog, until the last one is there. */
async function throughput(hubs: Hubs, quick: boolean): Promise<number> {
  const events = quick ? 8_000 : 48_000
  const startedAt = performance.now()
  await Promise.all([publishBacklog(hubs, events), untilReceived(hubs, events)])
  return (events / (performance.now() - startedAt)) * 1000
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0)
}

/** CPU per event by role, at 500 events/s; the baseline is the embedded engine's one process, which does all. */
export async function* cpuByRole(quick: boolean): AsyncIterable<Measure> {
  const alone = await startHubs(0, [all])
  const baseline = await cpuPerEvent(alone, quick).finally(alone.stop)
  const embedded = sum(baseline.values())
  yield measure("CPU per event, embedded, all", "us", embedded, embedded, true)
  for (const servers of [1, 3] as const) {
    const hubs = await startHubs(servers, ["ingest,api", "route", "deliver"])
    const roles = await cpuPerEvent(hubs, quick).finally(hubs.stop)
    for (const [role, us] of roles) yield measure(`CPU per event, nats${servers}, ${role}`, "us", us, embedded, true)
  }
}

/** Throughput and CPU per event (of the hubs, without the servers) with 1, 2 and 4 processes; the baseline is one. */
export async function* growth(quick: boolean): AsyncIterable<Measure> {
  for (const servers of quick ? ([1] as const) : ([1, 3] as const)) {
    let first: { readonly rate: number; readonly cpu: number } | undefined
    for (const processes of [1, 2, 4]) {
      const hubs = await startHubs(servers, Array<string>(processes).fill(all))
      try {
        const cpu = (await cpuPerEvent(hubs, quick)).get(all)!
        const rate = await throughput(hubs, quick)
        first ??= { rate, cpu }
        const what = `nats${servers}, ${processes} hub processes`
        yield measure(`publish and deliver, ${what}`, "events/s", rate, first.rate)
        yield measure(`CPU per event, ${what}`, "us", cpu, first.cpu, true)
      } finally {
        await hubs.stop()
      }
    }
  }
}
